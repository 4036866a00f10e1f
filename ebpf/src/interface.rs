//! Which interfaces there are, and which of them to count.
//!
//! They are looked up in `/sys/class/net` at every drain. Messages of the kernel about links would come a few seconds
//! earlier and need a parser for them, a socket, and this very look all the same, because such messages can be lost;
//! the look costs a directory and two small files for each name that matches.

use std::{fs, io, path::Path};

use crate::InterfacePattern;

/// Where the kernel lists them.
pub const FOLDER: &str = "/sys/class/net";
/// Kinds of hardware (`linux/if_arp.h`) whose packets begin with an Ethernet header: Ethernet and loopback.
const KINDS_WITH_ETHERNET: [u32; 2] = [1, 772];
const KIND_LOOPBACK: u32 = 772;
/// Kinds whose packets begin with the IP header: PPP, tunnels (IP in IP, IPv6, SIT, GRE), raw mobile modems, WireGuard.
const KINDS_WITHOUT_HEADER: [u32; 8] = [512, 768, 769, 776, 778, 519, 823, 65_534];

/// An interface as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Index in the kernel.
    pub index: u32,
    /// Name.
    pub name: String,
    /// What its packets begin with.
    pub link: Link,
    /// What it is.
    pub nature: Nature,
}

/// What the packets of an interface begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// The IP header.
    Bare,
    /// Something that the programs cannot read (number of the kind of hardware).
    Unknown(u32),
}

/// What an interface is, as far as the guard cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Packets of this machine to itself. The guard never judges them.
    Loopback,
    /// A card, or what a virtual machine takes for one.
    Card,
    /// veth, bridge, tunnel and the like.
    Virtual,
}

/// What a look gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Interfaces whose name one of the patterns matches, in order of their index.
    pub interfaces: Vec<Interface>,
    /// Names, made readable, of those that cannot be counted because the name is no text or the kernel's answers about
    /// them are no numbers.
    pub odd: Vec<String>,
}

/// Looks. An interface that goes away meanwhile is not found.
///
/// # Errors
/// The list cannot be read.
pub fn scan(folder: &Path, patterns: &[InterfacePattern]) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let readable = name.to_string_lossy();
        // What is no directory is no interface: the module for bonds has a file here.
        if !patterns.iter().any(|pattern| pattern.matches(&readable)) || !folder.join(&name).is_dir() {
            continue;
        }
        let looked = match name.to_str() {
            Some(name) => look(&folder.join(name), name),
            None => Look::Odd,
        };
        match looked {
            Look::Interface(interface) => found.interfaces.push(interface),
            Look::Gone => {}
            Look::Odd => found.odd.push(readable.escape_debug().to_string()),
        }
    }
    found.interfaces.sort_by_key(|interface| interface.index);
    found.odd.sort_unstable();
    Ok(found)
}

enum Look {
    Interface(Interface),
    Gone,
    Odd,
}

fn look(folder: &Path, name: &str) -> Look {
    let text = |file: &str| fs::read_to_string(folder.join(file));
    let (index, kind) = match (text("ifindex"), text("type")) {
        (Ok(index), Ok(kind)) => (index.trim().parse::<u32>(), kind.trim().parse::<u32>()),
        (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Look::Gone,
        _ => return Look::Odd,
    };
    // The kernel numbers them from 1; a record with 0 is nobody's.
    let (Ok(index @ 1..), Ok(kind)) = (index, kind) else {
        return Look::Odd;
    };
    let link = if KINDS_WITH_ETHERNET.contains(&kind) {
        Link::Ethernet
    } else if KINDS_WITHOUT_HEADER.contains(&kind) {
        Link::Bare
    } else {
        Link::Unknown(kind)
    };
    let nature = if kind == KIND_LOOPBACK {
        Nature::Loopback
    } else if folder.join("device").exists() {
        Nature::Card
    } else {
        Nature::Virtual
    };
    Look::Interface(Interface { index, name: name.to_owned(), link, nature })
}

/// What changed between what is attached and what is there. An interface that was renamed left and came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Indexes of those that are no longer there, or no longer meant.
    pub left: Vec<u32>,
    /// Those that are new.
    pub came: Vec<Interface>,
}

/// Compares. `attached` are indexes with names.
pub fn changes<'a>(attached: impl Iterator<Item = (u32, &'a str)>, found: &[Interface]) -> Changes {
    let attached: Vec<(u32, &str)> = attached.collect();
    let is = |interface: &Interface, (index, name): &(u32, &str)| interface.index == *index && interface.name == *name;
    Changes {
        left: attached
            .iter()
            .filter(|attached| !found.iter().any(|interface| is(interface, attached)))
            .map(|(index, _)| *index)
            .collect(),
        came: found
            .iter()
            .filter(|interface| !attached.iter().any(|attached| is(interface, attached)))
            .cloned()
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    fn interface(index: u32, name: &str) -> Interface {
        Interface { index, name: name.to_owned(), link: Link::Ethernet, nature: Nature::Virtual }
    }

    #[test]
    fn the_loopback_interface_of_this_machine_is_found() {
        let found = scan(Path::new(FOLDER), &["lo".parse().unwrap()]).unwrap();
        assert_eq!((found.interfaces.len(), found.odd.len()), (1, 0));
        assert_eq!((found.interfaces[0].link, found.interfaces[0].nature), (Link::Ethernet, Nature::Loopback));
        assert_eq!(scan(Path::new(FOLDER), &["no-such-one".parse().unwrap()]).unwrap(), Found::default());
    }

    #[test]
    fn what_came_and_what_left_is_told_apart() {
        let found = [interface(2, "eth0"), interface(4, "wwan0")];
        let changes = changes([(2, "eth0"), (3, "ppp0")].into_iter(), &found);
        assert_eq!(changes, Changes { left: vec![3], came: vec![interface(4, "wwan0")] });
    }

    #[test]
    fn without_a_change_nothing_is_to_be_done() {
        assert_eq!(changes([(2, "eth0")].into_iter(), &[interface(2, "eth0")]), Changes::default());
    }

    #[test]
    fn an_interface_that_was_renamed_or_made_anew_left_and_came() {
        let renamed = changes([(2, "eth0")].into_iter(), &[interface(2, "lan0")]);
        assert_eq!((renamed.left, renamed.came.len()), (vec![2], 1));
        let anew = changes([(2, "eth0")].into_iter(), &[interface(9, "eth0")]);
        assert_eq!((anew.left, anew.came.len()), (vec![2], 1));
    }

    /// Name of an interface, and what its files `ifindex` and `type` say.
    type Shown<'a> = (&'a [u8], Option<&'a [u8]>, Option<&'a [u8]>);

    /// A folder as the kernel might show it.
    fn folder(interfaces: &[Shown<'_>]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, index, kind) in interfaces {
            let path = folder.path().join(OsStr::from_bytes(name));
            fs::create_dir(&path).unwrap();
            for (file, content) in [("ifindex", index), ("type", kind)] {
                if let Some(content) = content {
                    fs::write(path.join(file), content).unwrap();
                }
            }
        }
        folder
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_others_are_found_all_the_same() {
        let (one, ethernet): (Option<&[u8]>, Option<&[u8]>) = (Some(b"1\n"), Some(b"1\n"));
        let folder = folder(&[
            (b"eth0", Some(b"7\n"), ethernet),
            (b"\xff\xfe", one, ethernet),
            (b"zero", Some(b"0\n"), ethernet),
            (b"large", Some(b"4294967296\n"), ethernet),
            (b"empty", Some(b""), ethernet),
            (b"bytes", one, Some(b"\xff\xff")),
            (b"a\x1b[31m", Some(b"-1\n"), ethernet),
            (b"going", None, ethernet),
        ]);
        fs::write(folder.path().join("bonding_masters"), "").unwrap();
        let found = scan(folder.path(), &["*".parse().unwrap()]).unwrap();
        let names: Vec<&str> = found.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        assert_eq!(names, ["eth0"]);
        assert_eq!(found.odd, ["a\\u{1b}[31m", "bytes", "empty", "large", "zero", "\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn without_the_list_of_interfaces_there_is_an_error() {
        assert!(scan(Path::new("/no/such/folder"), &["*".parse().unwrap()]).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_of_the_kernel_panics(index: Vec<u8>, kind: Vec<u8>) {
            let folder = folder(&[(b"eth0", Some(&index), Some(&kind))]);
            let found = scan(folder.path(), &["eth0".parse().unwrap()]).unwrap();
            prop_assert_eq!(found.interfaces.len() + found.odd.len(), 1);
        }
    }
}
