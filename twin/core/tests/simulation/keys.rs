//! Signatures without curves: a sum of the key and the bytes. Whoever knows a public key can forge; the simulation's
//! forger does not.

use selvedge_twin_core::event::Signature;
use selvedge_twin_core::keys::{Keys, PublicKey};

#[derive(Debug, Clone, Copy)]
pub struct SumKeys(pub u8);

impl SumKeys {
    pub fn public(self) -> PublicKey {
        PublicKey([self.0; 32])
    }
}

impl Keys for SumKeys {
    fn sign(&self, bytes: &[u8]) -> Signature {
        sum(&self.public(), bytes)
    }

    fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        sum(key, bytes) == *signature
    }
}

fn sum(key: &PublicKey, bytes: &[u8]) -> Signature {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.0.iter().take(8).chain(bytes) {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        state ^= state >> 29;
    }
    let mut signature = [0; 64];
    for chunk in signature.chunks_exact_mut(8) {
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (state >> 31);
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    signature
}
