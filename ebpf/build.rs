//! Puts the programs for the kernel where the library embeds them from: the committed object, or another one that
//! `SELVEDGE_EBPF_OBJECT` names, so that `cargo xtask ebpf --check` can run the tests on one that it has just built.

fn main() {
    println!("cargo:rerun-if-env-changed=SELVEDGE_EBPF_OBJECT");
    let object = std::env::var("SELVEDGE_EBPF_OBJECT").unwrap_or_else(|_| "object/counters.bpf.o".to_owned());
    println!("cargo:rerun-if-changed={object}");
    let folder = std::env::var("OUT_DIR").expect("cargo sets it");
    if let Err(error) = std::fs::copy(&object, format!("{folder}/counters.bpf.o")) {
        panic!("cannot copy {object}: {error}");
    }
}
