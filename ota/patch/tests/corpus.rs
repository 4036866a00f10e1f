//! The fuzz corpus in `fuzz/corpus/payload`: every file is replayed, and the seeds among them are what this file says.
//!
//! Seeds have names, what a fuzzer adds has the hash that it gives. `WRITE_SEEDS=1 cargo test -p selvedge-ota-patch --test
//! corpus` writes the seeds anew after a change here.

#[path = "corpus/check.rs"]
mod check;
#[path = "corpus/seeds.rs"]
mod seeds;

use std::{fs, path::PathBuf};

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/payload")
}

#[test]
fn every_input_of_the_corpus_passes() {
    let files = fs::read_dir(corpus()).expect("the corpus is part of the tree");
    let mut count = 0;
    for file in files {
        let path = file.expect("readable").path();
        let input = fs::read(&path).expect("readable");
        let passed = std::panic::catch_unwind(|| check::check_input(&input));
        assert!(passed.is_ok(), "{} fails", path.display());
        count += 1;
    }
    assert!(count >= seeds::seeds().len(), "{count} files are less than the seeds");
}

#[test]
fn the_seeds_in_the_corpus_are_the_ones_listed() {
    for (name, input) in seeds::seeds() {
        let path = corpus().join(name);
        if std::env::var_os("WRITE_SEEDS").is_some() {
            fs::write(&path, &input).expect("writable");
        }
        assert!(fs::read(&path).ok() == Some(input), "{name}: run with WRITE_SEEDS=1");
    }
}
