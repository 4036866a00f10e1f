//! The last step of a build: from the core module that a compiler wrote to a component, and what a component asks for.
//!
//! Invariant: what [`componentize`] returns is valid and exports the handler of `selvedge:function`.

use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The interface that every function exports, without its version.
const HANDLER: &str = "selvedge:function/handler@";
/// The world that a core module without an interface in it is given. What it does not use of it, the component does not import.
const WORLD: &str = "function";

/// Why bytes are no function.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// The core module carries no interface, or one that its exports do not fulfil.
    #[error("the core module cannot be made into a component: {reason}")]
    Encode {
        /// The encoder's words.
        reason: String,
    },
    /// The bytes are no component.
    #[error("the bytes are no component: {reason}")]
    Decode {
        /// The decoder's words.
        reason: String,
    },
    /// A component, but not a function.
    #[error("the component does not export selvedge:function/handler, only {exports:?}")]
    NoHandler {
        /// What it exports instead.
        exports: Vec<String>,
    },
}

/// Puts the interface into a core module whose compiler knows nothing of it. `Err` says what is wrong with the interface.
pub(super) fn embed_interface(core_module: &mut Vec<u8>, wit: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let world = resolve
        .push_str("function.wit", wit)
        .and_then(|package| resolve.select_world(&[package], Some(WORLD)))
        .map_err(|error| format!("{error:#}"))?;
    embed_component_metadata(core_module, &resolve, world, StringEncoding::UTF8).map_err(|error| format!("{error:#}"))
}

/// Makes a component of a core module that was compiled against the `selvedge:function` bindings.
///
/// # Errors
/// The module carries no component metadata, does not fulfil it, or its world has no handler.
pub fn componentize(core_module: &[u8]) -> Result<Vec<u8>, ComponentError> {
    // `{:#}`, because anyhow's cause chain is the explanation here and no source that could be kept as a type.
    let failed = |error| ComponentError::Encode { reason: format!("{error:#}") };
    let component = ComponentEncoder::default()
        .validate(true)
        .module(core_module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(failed)?;
    imports(&component)?;
    Ok(component)
}

/// The interfaces that a function imports, in its own order, for example `selvedge:function/log@0.1.0`.
pub(super) fn imports(component: &[u8]) -> Result<Vec<String>, ComponentError> {
    let undecodable = |reason: String| ComponentError::Decode { reason };
    let decoded = wit_component::decode(component).map_err(|error| undecodable(format!("{error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(undecodable("they are an encoded interface".to_owned()));
    };
    let world = &resolve.worlds[world];
    let exports: Vec<String> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    if !exports.iter().any(|export| export.starts_with(HANDLER)) {
        return Err(ComponentError::NoHandler { exports });
    }
    Ok(world.imports.keys().map(|key| resolve.name_world_key(key)).collect())
}

#[cfg(test)]
mod tests {
    use super::{ComponentError, componentize, embed_interface, imports};
    use crate::author::FUNCTION_WIT;

    #[test]
    fn bytes_that_are_no_module_are_refused() {
        for bytes in [&b""[..], b"\0asm", b"not wasm at all", b"\0asm\x0d\0\x01\0"] {
            assert!(matches!(componentize(bytes), Err(ComponentError::Encode { .. })), "{bytes:?}");
            assert!(imports(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_module_without_an_interface_is_no_function() {
        let error = componentize(b"\0asm\x01\0\0\0").unwrap_err();
        assert!(matches!(&error, ComponentError::NoHandler { exports } if exports.is_empty()), "{error}");
    }

    #[test]
    fn a_module_that_does_not_keep_to_its_interface_is_refused_and_so_is_an_interface_without_the_world() {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        embed_interface(&mut module, FUNCTION_WIT).unwrap();
        let error = componentize(&module).unwrap_err();
        assert!(matches!(&error, ComponentError::Encode { reason } if reason.contains("handle")), "{error}");
        for wit in ["no interface", "package a:b; world other {}"] {
            assert!(embed_interface(&mut module, wit).is_err(), "{wit}");
        }
    }

    #[test]
    fn a_component_without_the_handler_is_no_function() {
        let component = wat::parse_str("(component)").unwrap();
        assert!(matches!(imports(&component), Err(ComponentError::NoHandler { .. })));
    }

    #[test]
    fn the_imports_of_a_function_are_listed() {
        let transform = include_bytes!("../../../examples/scale-transform/scale-transform.wasm");
        assert_eq!(imports(transform).unwrap(), ["selvedge:function/types@0.1.0"]);
    }
}
