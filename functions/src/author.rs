//! What a function author's machine does: write a new project, and build it into a component.
//!
//! It is not part of the running node: nothing here is reached from [`Runtime`](crate::Runtime), and nothing here loads or
//! runs what it built. It starts the author's own compilers (`cargo`, `clang`,
//! `componentize-qjs`, `componentize-py`); the last step from core
//! module to component is done in this process, so that no further tool is needed.
//!
//! Invariant: nothing that exists is overwritten, except the component that the manifest names, which is replaced in one
//! step when the build has succeeded.

pub(crate) mod build;
mod component;
mod freestanding;
mod language;
mod new_project;
mod program;

pub use build::{BuildError, Built, build};
pub use component::{ComponentError, componentize};
pub use language::{Language, UnknownLanguage};
pub use new_project::{Created, NewError, NewProject, new_project};

/// The public interface of functions, as `selvedge fn new` writes it into a project and `selvedge fn build` hands it to
/// language tools.
pub const FUNCTION_WIT: &str = include_str!("../wit/function.wit");
