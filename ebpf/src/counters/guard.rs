//! The guard: what may be said to it, and what it reports.

use std::{net::IpAddr, time::Duration};

use selvedge_ebpf_abi::map;

use super::Counters;
use crate::{
    Config, Denial, DenyError, DenyReason, DrainError, GuardHook, GuardReport, KernelTime, Network, StartError, denial,
    guard_maps::{GuardMaps, VerdictSums},
    interface::Interface,
};

/// The guard's maps, and what is known of them here.
pub(super) struct Guard {
    maps: GuardMaps,
    allowed: Vec<Network>,
    pub(super) denies: bool,
    verdicts: VerdictSums,
    fastest: Vec<(IpAddr, u64)>,
}

impl Counters {
    /// Denies a peer for a time: nothing from it passes any interface that the guard is on. `control` are the addresses
    /// that control connections come from at this moment; see [`crate::may_deny`] and [`crate::operator_sessions`].
    ///
    /// # Errors
    /// Why not.
    pub fn deny(
        &mut self,
        peer: IpAddr,
        time: Duration,
        why: DenyReason,
        control: &[IpAddr],
        now: KernelTime,
    ) -> Result<Denial, DenyError> {
        let denied_max = self.config.guard.denied_max as usize;
        let guard = self.guard.as_mut().ok_or(DenyError::Off)?;
        denial::may_deny(peer, time, &guard.allowed, control)?;
        let denials = guard.maps.denials(now).map_err(DenyError::Kernel)?;
        if denials.len() >= denied_max && !denials.iter().any(|denial| denial.peer == peer.to_canonical()) {
            return Err(DenyError::Full(denied_max));
        }
        guard.maps.deny(peer, now.plus(time), why).map_err(DenyError::Kernel)?;
        self.set_denies(true)?;
        let denials = self.denials(now)?;
        let made = denials.into_iter().find(|denial| denial.peer == peer.to_canonical());
        made.ok_or_else(|| DenyError::Kernel(std::io::ErrorKind::NotFound.into()))
    }

    /// Ends a denial; says whether there was one.
    ///
    /// # Errors
    /// The guard is off, or the kernel refused.
    pub fn undeny(&mut self, peer: IpAddr, now: KernelTime) -> Result<bool, DenyError> {
        let guard = self.guard.as_mut().ok_or(DenyError::Off)?;
        let was_denied = guard.maps.undeny(peer).map_err(DenyError::Kernel)?;
        self.denials(now)?;
        Ok(was_denied)
    }

    /// Denials that hold at `now`, those that last longest first; what is over is removed.
    ///
    /// # Errors
    /// The guard is off, or the kernel refused.
    pub fn denials(&mut self, now: KernelTime) -> Result<Vec<Denial>, DenyError> {
        let guard = self.guard.as_mut().ok_or(DenyError::Off)?;
        let denials = guard.maps.denials(now).map_err(DenyError::Kernel)?;
        self.set_denies(!denials.is_empty())?;
        Ok(denials)
    }

    /// Nothing from this network is dropped from now on; denials inside it end.
    ///
    /// # Errors
    /// The guard is off, the list is full, or the kernel refused.
    pub fn allow(&mut self, network: Network, now: KernelTime) -> Result<(), DenyError> {
        let guard = self.guard.as_mut().ok_or(DenyError::Off)?;
        if !guard.allowed.contains(&network) {
            if guard.allowed.len() >= map::ALLOWED_MAX as usize {
                return Err(DenyError::Full(guard.allowed.len()));
            }
            guard.maps.allow(&network).map_err(DenyError::Kernel)?;
            guard.allowed.push(network);
        }
        for denial in self.denials(now)? {
            if network.contains(denial.peer) {
                self.undeny(denial.peer, now)?;
            }
        }
        Ok(())
    }

    /// Takes a network out of the allow list again; says whether it was in there. Those of the configuration stay.
    ///
    /// # Errors
    /// The guard is off, or the kernel refused.
    pub fn disallow(&mut self, network: Network) -> Result<bool, DenyError> {
        let configured = self.config.guard.allow.contains(&network);
        let guard = self.guard.as_mut().ok_or(DenyError::Off)?;
        if configured || !guard.allowed.contains(&network) {
            return Ok(false);
        }
        guard.maps.disallow(&network).map_err(DenyError::Kernel)?;
        guard.allowed.retain(|other| *other != network);
        Ok(true)
    }

    /// Networks from which nothing is ever dropped.
    pub fn allowed(&self) -> Vec<Network> {
        self.guard.as_ref().map(|guard| guard.allowed.clone()).unwrap_or_default()
    }

    /// Tells the programs whether the deny list has to be looked at.
    fn set_denies(&mut self, denies: bool) -> Result<(), DenyError> {
        let Some(guard) = self.guard.as_mut().filter(|guard| guard.denies != denies) else {
            return Ok(());
        };
        guard.denies = denies;
        let records: Vec<(Interface, u16, GuardHook)> =
            self.attached.iter().map(|one| (one.interface.clone(), one.slot, one.guard)).collect();
        for (interface, slot, hook) in records {
            self.write_record(&interface, slot, hook).map_err(|error| match error {
                DrainError::Read { source, .. } | DrainError::Interfaces(source) => DenyError::Kernel(source),
            })?;
        }
        Ok(())
    }

    pub(super) fn guard_report(&mut self, now: KernelTime) -> Result<GuardReport, DrainError> {
        let mut report = GuardReport { mode: self.config.guard.mode, ..GuardReport::default() };
        if self.guard.is_none() {
            return Ok(report);
        }
        let failed = |source| DrainError::Read { map: map::DENIED, source };
        report.denials = self.denials(now).map_err(|error| match error {
            DenyError::Kernel(source) => failed(source),
            error => failed(std::io::Error::other(error)),
        })?;
        if let Some(guard) = &mut self.guard {
            let verdicts = guard.maps.verdicts().map_err(failed)?;
            report.set_verdicts(&verdicts);
            // Looking through all buckets costs two system calls each; only after somebody was too fast.
            if verdicts != guard.verdicts {
                guard.fastest = guard.maps.fastest().map_err(failed)?;
            }
            guard.verdicts = verdicts;
            report.fastest.clone_from(&guard.fastest);
        }
        Ok(report)
    }
}

impl Guard {
    pub(super) fn new(mut maps: GuardMaps, config: &Config) -> Result<Self, StartError> {
        let mut allowed = Vec::new();
        for network in &config.guard.allow {
            maps.allow(network).map_err(|error| StartError::Other {
                attempt: "write the allow list into the kernel",
                source: error.into(),
            })?;
            if !allowed.contains(network) {
                allowed.push(*network);
            }
        }
        Ok(Self { maps, allowed, denies: false, verdicts: VerdictSums::default(), fastest: Vec::new() })
    }
}
