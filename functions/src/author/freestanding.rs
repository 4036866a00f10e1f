//! What a C project has besides its own files: the interface as C, written by wit-bindgen, and memory without a C library.
//!
//! `fn new` writes it into the project, where editors and readers find it; a project without it is built with what is here.
//! Invariant: the bindings are those of [`FUNCTION_WIT`](super::FUNCTION_WIT); a test makes them anew and compares.

/// Files as paths in the project and texts.
pub(super) type Files = &'static [(&'static str, &'static str)];

/// Folder of the interface in C.
pub(super) const BINDINGS_FOLDER: &str = "bindings";
/// Folder of what stands in for a C library.
pub(super) const FREESTANDING_FOLDER: &str = "freestanding";

/// The interface in C.
pub(super) const BINDINGS: Files = &[
    ("bindings/function.h", include_str!("templates/c/bindings/function.h")),
    ("bindings/function.c", include_str!("templates/c/bindings/function.c")),
];

/// What stands in for a C library.
pub(super) const FREESTANDING: Files = &[
    ("freestanding/interface.c", include_str!("templates/c/freestanding/interface.c")),
    ("freestanding/memory.c", include_str!("templates/c/freestanding/memory.c")),
    ("freestanding/stdlib.h", include_str!("templates/c/freestanding/stdlib.h")),
    ("freestanding/string.h", include_str!("templates/c/freestanding/string.h")),
];

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs};

    use wit_bindgen_core::Files;

    use super::BINDINGS;
    use crate::author::FUNCTION_WIT;

    /// After a change of the interface: `SELVEDGE_WRITE_BINDINGS=1` writes them, and the text embedded here is that of the next build.
    #[test]
    fn the_bindings_are_those_of_the_interface() {
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve.push_str("function.wit", FUNCTION_WIT).unwrap();
        let world = resolve.select_world(&[package], Some("function")).unwrap();
        let mut files = Files::default();
        let options = wit_bindgen_c::Opts { no_object_file: true, ..Default::default() };
        options.build().generate(&mut resolve, world, &mut files).unwrap();
        let made: Vec<(String, &str)> =
            files.iter().map(|(name, text)| (format!("bindings/{name}"), str::from_utf8(text).unwrap())).collect();
        assert_eq!(made.len(), BINDINGS.len());
        for (name, text) in made {
            if env::var_os("SELVEDGE_WRITE_BINDINGS").is_some() {
                let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/author/templates/c");
                fs::write(templates.join(&name), text).unwrap();
            } else {
                let embedded = BINDINGS.iter().find(|(path, _)| *path == name).map(|(_, text)| *text);
                assert!(embedded == Some(text), "{name} is not what wit-bindgen makes of function.wit");
            }
        }
    }
}
