//! The languages that `selvedge fn new` and `selvedge fn build` know. Others build components too: the node takes any
//! component of the right world, wherever it comes from.

use std::fmt;
use std::str::FromStr;

/// A language with a template and a build recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust, built by the author's cargo for `wasm32-unknown-unknown`.
    Rust,
    /// JavaScript, run by the QuickJS engine that `componentize-qjs` puts into the component.
    JavaScript,
    /// C, built by clang without a C library.
    C,
    /// Python, run by the CPython interpreter that `componentize-py` puts into the component.
    Python,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 4] = [Self::Rust, Self::JavaScript, Self::C, Self::Python];
}

/// The text given as a language is none of those known.
#[derive(Debug, thiserror::Error)]
#[error("unknown language {given:?}, known are rust, js, c and python")]
pub struct UnknownLanguage {
    /// The text as given.
    pub given: String,
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "rust" => Ok(Language::Rust),
            "js" | "javascript" => Ok(Language::JavaScript),
            "c" => Ok(Language::C),
            "python" | "py" => Ok(Language::Python),
            _ => Err(UnknownLanguage { given: text.to_owned() }),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Language::Rust => "rust",
            Language::JavaScript => "js",
            Language::C => "c",
            Language::Python => "python",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn a_language_reads_back_what_it_prints() {
        for language in Language::ALL {
            assert_eq!(language.to_string().parse::<Language>().ok(), Some(language));
        }
    }

    #[test]
    fn an_unknown_language_is_named_with_those_known() {
        let error = "cobol".parse::<Language>().unwrap_err();
        assert_eq!(error.to_string(), "unknown language \"cobol\", known are rust, js, c and python");
    }
}
