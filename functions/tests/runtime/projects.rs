//! Projects as `fn new` writes them, built with the author's tools and run. Where a tool is not installed a test says SKIPPED.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use selvedge_functions::author::{BuildError, Language, NewProject, build, new_project};
use selvedge_functions::{Config, InvocationContext, InvocationMessage, OfflineReport, OfflineState, run_offline};

use crate::fixture::{compile_child, message};

/// A new project in a directory of its own.
fn project(name: &str, language: Language) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = Some(directory.path().to_owned());
    new_project(&NewProject { name: name.into(), language, directory: path }).unwrap();
    directory
}

/// What the built project makes of messages; `None` where its tools are not installed.
fn run(project: &Path, messages: Vec<InvocationMessage>) -> Option<OfflineReport> {
    let mut said = String::new();
    let built = match build(project, &mut |line| said.push_str(&format!("{line}\n"))) {
        Err(missing @ BuildError::Missing { .. }) => {
            // Not `println!`, which nobody sees of a test that passes.
            let _ = writeln!(io::stdout(), "SKIPPED a project as `fn new` writes it: {missing}");
            return None;
        }
        built => built.unwrap_or_else(|error| panic!("{error}: {said}")),
    };
    let manifest = fs::read_to_string(project.join("function.toml")).unwrap();
    let component = fs::read(built.component).unwrap();
    let native_code = tempfile::tempdir().unwrap();
    let messages = messages.into_iter().map(|message| (message, InvocationContext::default())).collect();
    // The interpreter of a Python function takes its time on a busy machine.
    let config = Config { compile_timeout_ms: 600_000, ..Config::default() };
    let (child, state) = (compile_child(), OfflineState::default());
    Some(run_offline(native_code.path(), &child, &config, &manifest, &component, messages, state).unwrap())
}

/// Topic and payload of everything that was published, a line each; or why nothing was.
fn outputs(report: &OfflineReport) -> Vec<String> {
    let line = |message: &InvocationMessage| format!("{} {}", message.topic, String::from_utf8_lossy(&message.payload));
    let lines = report.runs.iter().map(|run| match &run.failure {
        Some(failure) => failure.clone(),
        None => run.published.iter().map(line).collect::<Vec<_>>().join(", "),
    });
    lines.collect()
}

#[test]
fn a_new_project_in_c_scales_and_raises_one_alarm_per_crossing() {
    let project = project("heat", Language::C);
    let inputs = ["215", "263", "270.5", "-3", " 1e9\n", "warm", "1e99", "0.04"];
    let messages = inputs.iter().map(|payload| message("heat/in/hall", payload)).collect();
    let Some(report) = run(project.path(), messages) else { return };
    let outputs = outputs(&report);
    assert_eq!(
        outputs[..5],
        [
            "heat/out/hall 21.5",
            "heat/out/hall 26.3, heat/alarm/hall 26.3",
            "heat/out/hall 27.05",
            "heat/out/hall -0.3",
            "heat/out/hall 100000000, heat/alarm/hall 100000000",
        ]
    );
    assert!(outputs[5].contains("the payload is no number"), "{outputs:?}");
    assert!(outputs[6].contains("the reading is too large"), "{outputs:?}");
    assert_eq!(outputs[7], "heat/out/hall 0.004");
    assert_eq!(report.state.kv["high/hall"], "0");
    assert_eq!(report.logs.iter().filter(|line| line.text == "above the limit").count(), 2);
    assert!(report.runs[0].memory_bytes < 129 << 10, "two pages and a table: {} bytes", report.runs[0].memory_bytes);
}

#[test]
fn a_topic_that_the_project_in_c_does_not_expect_is_rejected() {
    let project = project("heat", Language::C);
    let Some(report) = run(project.path(), vec![message("heat/in/", "1"), message("other", "1")]) else { return };
    for output in outputs(&report) {
        assert!(output.contains("the topic is not heat/in/<sensor>"), "{output}");
    }
}

/// Blocks of random sizes are allocated, grown and freed; each holds what was written to it, and after all is freed the
/// memory is one block again. What the memory limit does not allow is NULL.
const EXERCISE: &str = r#"
#include <stdlib.h>
#include <string.h>
#include "function.h"
#define SLOTS 97
static unsigned char *slots[SLOTS];
static size_t sizes[SLOTS];
static uint32_t state = 1;
static uint32_t next(void) { state = state * 1664525u + 1013904223u; return state >> 8; }
static const char *exercise(void) {
  for (int step = 0; step < 60000; step++) {
    size_t slot = next() % SLOTS, size = next() % (next() % 16 == 0 ? 9000 : 200);
    unsigned char mark = (unsigned char)(slot + 1);
    for (size_t i = 0; i < sizes[slot]; i++) if (slots[slot][i] != mark) return "a block was written over";
    if (next() % 3 == 0) {
      free(slots[slot]);
      slots[slot] = NULL;
      sizes[slot] = 0;
      continue;
    }
    unsigned char *grown = realloc(slots[slot], size);
    if (grown == NULL) return "no memory though there is some";
    if ((uintptr_t)grown % 16 != 0) return "a block is not aligned";
    for (size_t i = 0; i < size && i < sizes[slot]; i++) if (grown[i] != mark) return "a block lost its content";
    memset(grown, mark, size);
    slots[slot] = grown;
    sizes[slot] = size;
  }
  for (size_t slot = 0; slot < SLOTS; slot++) free(slots[slot]);
  size_t pages = __builtin_wasm_memory_size(0);
  void *most = malloc((pages - 2) * 65536);
  if (most == NULL || __builtin_wasm_memory_size(0) != pages) return "the freed blocks did not grow together";
  if (malloc(64 << 20) != NULL) return "more memory than the limit";
  if (malloc((size_t)-1) != NULL || calloc(65536, 65537) != NULL) return "a size that overflows";
  if (memcmp("ab", "ac", 2) >= 0 || strcmp("a", "a") != 0 || strncmp("ab", "ac", 1) != 0) return "comparisons";
  if (memchr("abc", 'c', 2) != NULL || *(char *)memchr("abc", 'b', 3) != 'b' || strlen("abc") != 3) return "searches";
  return "all is well";
}
bool exports_selvedge_function_handler_handle(exports_selvedge_function_handler_message_t *message,
    exports_selvedge_function_handler_list_message_t *outputs, exports_selvedge_function_handler_failure_t *failure) {
  (void)message; (void)outputs;
  failure->tag = EXPORTS_SELVEDGE_FUNCTION_HANDLER_FAILURE_REJECT;
  function_string_dup(&failure->val.reject, exercise());
  return false;
}
"#;

#[test]
fn memory_in_c_holds_what_is_written_to_it_and_grows_together_again() {
    let project = project("memory", Language::C);
    fs::write(project.path().join("function.c"), EXERCISE).unwrap();
    let manifest = fs::read_to_string(project.path().join("function.toml")).unwrap();
    fs::write(project.path().join("function.toml"), manifest.replace("timeout_ms = 100", "timeout_ms = 60000"))
        .unwrap();
    let Some(report) = run(project.path(), vec![message("memory/in/a", "")]) else { return };
    assert!(outputs(&report)[0].contains("all is well"), "{:?}", outputs(&report));
}

#[test]
fn a_large_message_passes_through_c_and_one_larger_than_the_memory_limit_traps() {
    let project = project("heat", Language::C);
    let text = |bytes: usize| format!("{}5", " ".repeat(bytes));
    let messages = vec![message("heat/in/a", &text(1 << 20)), message("heat/in/a", &text(3 << 20))];
    let Some(report) = run(project.path(), messages) else { return };
    assert_eq!(outputs(&report)[0], "heat/out/a 0.5");
    assert!(report.runs[1].failure.is_some(), "{:?}", outputs(&report));
}

#[test]
fn a_new_project_in_python_greets_and_counts() {
    let project = project("hall", Language::Python);
    let messages = vec![message("hall/in/a", "hi"), message("hall/in/a", "again"), message("hall", "x")];
    let Some(report) = run(project.path(), messages) else { return };
    let outputs = outputs(&report);
    assert_eq!(outputs[..2], ["hall/out/a Hello a, number 1: hi", "hall/out/a Hello a, number 2: again"]);
    assert!(outputs[2].contains("the topic has no /in/"), "{outputs:?}");
}
