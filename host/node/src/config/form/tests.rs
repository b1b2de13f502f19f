//! Every option against every wrong type: the message names both types and ends with a line that is then accepted.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::config::{argv, given, sections};

/// Values of every TOML type, likely and unlikely ones.
const VALUES: &[&str] = &[
    "\"5s\"",
    "\"banana\"",
    "\"\"",
    "\"on\"",
    "\"C:\\\\a\"",
    "5",
    "0",
    "-3",
    "0x10",
    "99999999999999999999",
    "1.5",
    "-0.5",
    "nan",
    "1e300",
    "true",
    "[]",
    "[\"5\"]",
    "[1, 2]",
    "[\"a\", 5]",
    "[[\"a\"]]",
    "[true]",
    "[{ a = 1 }]",
    "{}",
    "{ host = \"x\" }",
    "{ host = \"tcp://x:1\", port = 2 }",
    "{ gpu = 2, linux = -1 }",
    "{ gpu = \"two\" }",
    "1979-05-27",
    "07:32:00",
    "1979-05-27T07:32:00Z",
];

/// What is wrong with `key = value` for an option, if anything is.
fn mistake(arg: &clap::Arg, key: &str, line: &str) -> Option<String> {
    let table = DeTable::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let (_, value): (_, &Spanned<DeValue<'_>>) = table.get_ref().iter().next().expect("one key");
    given::from_file(arg, key, value).err().map(|fault| fault.message)
}

/// Whether an option takes values of this type.
fn is_right(arg: &clap::Arg, value: &str) -> bool {
    if argv::is_list(arg) {
        let entries = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        return value == "[]" || entries.is_some_and(|entries| entries.split(", ").all(|text| text.starts_with('"')));
    }
    if argv::is_boolean(arg) {
        return value == "true";
    }
    if given::is_number(arg) {
        return value.starts_with("0x") || value.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    }
    value.starts_with('"')
}

#[test]
fn every_option_tells_every_wrong_type_with_a_line_that_is_then_accepted() {
    let mut checked = 0;
    for section in sections::all() {
        let command = (section.command)();
        for arg in command.get_arguments().filter(|arg| !argv::is_own(arg) && arg.get_id() != "config") {
            let key = arg.get_id().as_str();
            for value in VALUES.iter().filter(|value| !is_right(arg, value)) {
                let line = format!("{key} = {value}");
                let message = mistake(arg, key, &line).unwrap_or_else(|| panic!("[{}] takes {line}", section.name));
                let parts = message.strip_prefix("expected ").and_then(|rest| rest.split_once("; write `"));
                let (types, form) = parts.unwrap_or_else(|| panic!("[{}] {line}: {message}", section.name));
                assert!(types.contains(", not "), "[{}] {line}: {message}", section.name);
                let form = form.strip_suffix('`').expect("it ends with the line to write");
                assert!(form.starts_with(&format!("{key} = ")), "[{}] {line}: {message}", section.name);
                assert_eq!(mistake(arg, key, form), None, "[{}] {line}: {message}", section.name);
                checked += 1;
            }
        }
    }
    assert!(checked > 1_000, "{checked}");
}

#[test]
fn what_was_meant_is_written_where_that_can_be_told() {
    for (section, line, expected) in [
        // Whole numbers, and seconds.
        ("top", "timeout = [\"5\"]", "expected a whole number of seconds, not a list; write `timeout = 5`"),
        ("top", "timeout = \"5s\"", "expected a whole number of seconds, not the string \"5s\"; write `timeout = 5`"),
        ("top", "timeout = \"1.5 min\"", "write `timeout = 90`"),
        ("top", "timeout = \"soon\"", "not the string \"soon\"; write `timeout = 5`"),
        ("top", "timeout = \"0\"", "write `timeout = 5`"),
        ("top", "timeout = true", "expected a whole number of seconds, not true; write `timeout = 5`"),
        ("top", "timeout = 07:32:00", "not the datetime 07:32:00; write `timeout = 5`"),
        ("top", "timeout = {}", "not a table; write `timeout = 5`"),
        ("scheduler", "load_balance_seconds = 1.5", "of seconds, not 1.5; write `load_balance_seconds = 2`"),
        ("scheduler", "load_balance_seconds = 0.0", "write `load_balance_seconds = 1`"),
        (
            "scheduler",
            "max_attempts = \"4\"",
            "expected a whole number, not the string \"4\"; write `max_attempts = 4`",
        ),
        (
            "cluster",
            "task_memory_limit_bytes = \"512 MiB\"",
            "expected a whole number of bytes, not the string \"512 MiB\"; write `task_memory_limit_bytes = 536870912`",
        ),
        ("webui", "web_host = 8080", "expected a string, not 8080; write `web_host = \"127.0.0.1\"`"),
        ("webui", "web_port = \"8080\"", "write `web_port = 8080`"),
        // Addresses.
        (
            "scheduler",
            "scheduler_address = { host = \"x\" }",
            "expected an address in quotes, not a table; write `scheduler_address = \"tcp://x:8516\"`",
        ),
        ("scheduler", "scheduler_address = { host = \"x\", port = 9 }", "write `scheduler_address = \"tcp://x:9\"`"),
        ("scheduler", "scheduler_address = [\"x\", 9]", "write `scheduler_address = \"tcp://x:9\"`"),
        ("scheduler", "monitor_address = 9", "not 9; write `monitor_address = \"tcp://127.0.0.1:9\"`"),
        ("scheduler", "monitor_address = true", "not true; write `monitor_address = \"tcp://127.0.0.1:8518\"`"),
        // Texts, with and without commas.
        ("cluster", "worker_names = [\"a\", \"b\"]", "expected a string, not a list; write `worker_names = \"a,b\"`"),
        ("cluster", "worker_names = 7", "expected a string, not 7; write `worker_names = \"7\"`"),
        ("cluster", "per_worker_capabilities = { gpu = 0x2 }", "write `per_worker_capabilities = \"gpu=2\"`"),
        ("cluster", "preload = 5", "expected a call in quotes, not 5; write `preload = \"module.path:function()\"`"),
        ("cluster", "module_path = 5", "expected a path in quotes, not 5; write `module_path = \"5\"`"),
        // Lists.
        (
            "scheduler",
            "logging_paths = \"/a\"",
            "expected a list of strings, not the string \"/a\"; write `logging_paths = [\"/a\"]`",
        ),
        (
            "scheduler",
            "logging_paths = [\"/a\", 5]",
            "expected a list of strings, not a list with 5; write `logging_paths = [\"/a\", \"5\"]`",
        ),
        ("scheduler", "logging_paths = true", "write `logging_paths = [\"/dev/stdout\"]`"),
        // Yes or no.
        (
            "scheduler",
            "protected = \"False\"",
            "expected true or false, not the string \"False\"; write `protected = false`",
        ),
        ("scheduler", "protected = 0", "expected true or false, not 0; write `protected = false`"),
        ("scheduler", "protected = [false]", "write `protected = false`"),
        ("scheduler", "protected = 2", "write `protected = true`"),
        // One of a few words.
        (
            "scheduler",
            "allocate_policy = [\"capability\"]",
            "expected one of \"even\", \"capability\", not a list; write `allocate_policy = \"capability\"`",
        ),
        ("scheduler", "allocate_policy = 1", "write `allocate_policy = \"even\"`"),
        ("cluster", "logging_level = 10", "write `logging_level = \"INFO\"`"),
    ] {
        let all = sections::all();
        let command = all.iter().find(|known| known.name == section).map(|known| (known.command)()).expect(section);
        let key = line.split(' ').next().expect("a key");
        let arg = command.get_arguments().find(|arg| arg.get_id() == key).expect(key);
        let message = mistake(arg, key, line).expect(line);
        assert!(message.ends_with(expected), "{line}: {message}");
    }
}

#[test]
fn the_table_of_grants_tells_wrong_types_in_the_same_way() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    for (lines, expected) in [
        (
            "grants = 5",
            "[cluster.grants]: expected a table, not 5; write `[cluster.grants]` on a line of its own, with its keys below it",
        ),
        ("[cluster.grants]\nclock = 0", "clock: expected true or false, not 0; write `clock = false`"),
        ("[cluster.grants]\nrandom = [1.5]", "expected true or false, not a list; write `random = true`"),
        (
            "[cluster.grants]\nenvironment = \"A=b\"",
            "expected a list of strings, not the string \"A=b\"; write `environment = [\"A=b\"]`",
        ),
        ("[cluster.grants]\nenvironment = { A = \"b\" }", "not a table; write `environment = [\"NAME=value\"]`"),
        ("[cluster.grants]\nnetwork = [\"farm\", 80]", "not a list with 80; write `network = "),
        (
            "[cluster.grants]\ndirectories = \"/srv\"",
            "expected a list of tables, not the string \"/srv\"; write `[[cluster.grants.directories]]` on a line",
        ),
        (
            "[cluster.grants]\ndirectories = [\"/srv\"]",
            "expected a table, not the string \"/srv\"; write `[[cluster.grants.directories]]` on a line",
        ),
        (
            "[[cluster.grants.directories]]\nguest_path = 5\nhost_path = \"/\"",
            "expected a string, not 5; write `guest_path = \"/data\"`",
        ),
        (
            "[[cluster.grants.directories]]\nguest_path = \"/d\"\nhost_path = [\"/\"]",
            "expected a string, not a list; write `host_path = \"/\"`",
        ),
        (
            "[[cluster.grants.directories]]\nguest_path = \"/d\"\nhost_path = \"/\"\naccess = true",
            "expected a string, not true; write `access = \"read-only\"`",
        ),
    ] {
        let text = format!("[cluster]\nscheduler_address = \"tcp://h:1\"\n{lines}\n");
        std::fs::write(&path, text).expect("file");
        let told: Vec<String> =
            crate::config::check(&path, None).expect("a file").mistakes.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|line| line.contains(expected)), "{lines}: {told:#?}");
    }
    for line in ["top = 5", "[[top]]"] {
        std::fs::write(&path, format!("{line}\n")).expect("file");
        let told = crate::config::check(&path, None).expect("a file").mistakes;
        let message = told.first().expect("a mistake").to_string();
        assert!(
            message.contains(": [top]: expected a section, not ") && message.contains("write `[top]` on"),
            "{message}"
        );
    }
}
