//! The original's acceptance scenarios for clients, futures, life and death, storage, and configuration, over the real
//! programs; which test has which scenario stands in [`SCENARIOS`]. What settings do beyond them is in `effects`.

mod support;

#[path = "scenarios/effects.rs"]
mod effects;
#[path = "scenarios/futures.rs"]
mod futures;
#[path = "scenarios/life.rs"]
mod life;
#[path = "scenarios/submit.rs"]
mod submit;
#[path = "scenarios/traffic.rs"]
mod traffic;

use std::{collections::BTreeSet, fs, path::Path, sync::OnceLock};

use scaler_client::{SchedulerClusterCombo, SchedulerClusterComboBuilder, blocking::Client};
use support::{SCALER, guest, install, root};
use tempfile::TempDir;

/// A combo and the folder with its modules.
pub(crate) struct Here {
    pub(crate) combo: SchedulerClusterCombo,
    _dir: TempDir,
}

impl Here {
    /// Starts a combo with the guests that the scenarios use.
    pub(crate) fn start(
        workers: usize,
        change: impl FnOnce(SchedulerClusterComboBuilder) -> SchedulerClusterComboBuilder,
    ) -> Self {
        let dir = tempfile::tempdir().expect("folder");
        install(dir.path(), &[&guest("tests/guests/behaviour"), &guest("tests/guests/wasi")]);
        let builder = SchedulerClusterCombo::builder(workers).program(SCALER).module_path(dir.path().join("modules"));
        Self { combo: change(builder).start().expect("the combo starts"), _dir: dir }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.combo.address()).expect("connects")
    }

    /// Tasks in any state but the terminal ones.
    pub(crate) fn unfinished(&self, client: &Client) -> u64 {
        let tasks = client.status().expect("status").tasks;
        ["waiting", "assigned", "running", "canceling", "returning"].iter().filter_map(|state| tasks.get(*state)).sum()
    }

    /// Objects in the storage, modules included.
    pub(crate) fn stored(&self) -> u64 {
        let address = self.combo.object_storage_address().parse().expect("address");
        let mut storage =
            scaler_net::objects::ObjectClient::new(address, scaler_net::objects::ClientOptions::default());
        storage.info().expect("the storage answers").objects
    }
}

/// One combo for all scenarios that leave it as it is; it ends with the process.
pub(crate) fn shared() -> &'static Here {
    static SHARED: OnceLock<Here> = OnceLock::new();
    SHARED.get_or_init(|| Here::start(3, |builder| builder))
}

/// Who has a scenario: tests by name, or why there can be none.
enum By {
    Tests(&'static [&'static str]),
    Never(&'static str),
}
use By::{Never, Tests};

/// By the original's numbers.
const SCENARIOS: &[(u32, By)] = &[
    (1, Tests(&["scenario_01_one_submit_returns_its_value"])),
    (2, Tests(&["scenario_02_one_map_over_two_tuples_returns_both_in_order"])),
    (3, Tests(&["scenario_03_a_hundred_by_map_and_by_submit_are_equal"])),
    (4, Tests(&["scenario_04_and_05_ten_thousand_calls_that_do_nothing"])),
    (5, Tests(&["scenario_04_and_05_ten_thousand_calls_that_do_nothing"])),
    (6, Tests(&["scenario_06_thirty_sleepers_canceled_at_once_leave_nothing"])),
    (7, Tests(&["scenario_07_a_task_that_no_worker_has_is_canceled"])),
    (8, Tests(&["scenario_08_and_44_an_object_travels_once_a_processor_from_the_cluster_s_own_storage"])),
    (9, Tests(&["scenario_09_large_arguments_and_results_arrive_equal"])),
    (
        10,
        Tests(&[
            "scenario_10_long_and_short_sleeps_share_the_workers",
            "scenario_10_what_queues_behind_a_long_task_goes_to_a_cluster_that_comes_later",
        ]),
    ),
    (11, Tests(&["scenario_11_one_failure_of_a_hundred_reaches_the_caller_as_a_type"])),
    (12, Tests(&["scenario_12_arguments_by_position_by_name_and_by_default"])),
    (13, Never("components have no keyword-only parameters: every parameter has a place and a name")),
    (14, Tests(&["scenario_14_twice_as_many_tasks_as_workers_all_end"])),
    (15, Tests(&["scenario_15_and_16_a_client_that_left_submits_nothing_and_may_leave_again"])),
    (16, Tests(&["scenario_15_and_16_a_client_that_left_submits_nothing_and_may_leave_again"])),
    (
        17,
        Tests(&[
            "a_client_that_vanishes_leaves_nothing_behind",
            "an_object_goes_when_it_is_released_or_its_client_is_gone",
        ]),
    ),
    (18, Tests(&["scenario_18_a_task_that_ends_itself_fails_and_the_next_runs"])),
    (19, Tests(&["scenario_19_lists_are_arguments"])),
    (20, Tests(&["scenario_20_an_object_is_an_argument_of_submit_and_map"])),
    (21, Tests(&["scenario_21_without_a_scheduler_everything_fails_in_time"])),
    (22, Tests(&["scenario_22_each_step_of_a_warm_call_is_quick"])),
    (23, Tests(&["scenario_23_clear_cancels_and_lets_objects_go"])),
    (24, Tests(&["scenario_24_without_an_address_the_error_says_what_is_missing"])),
    (
        25,
        Tests(&[
            "scenario_25_what_cannot_be_written_or_read_is_said_and_the_processor_lives",
            "scenario_25_an_object_that_cannot_be_read_fails_the_task_and_the_processor_lives",
        ]),
    ),
    (
        26,
        Tests(&[
            "scenario_26_what_tasks_write_reaches_the_client",
            "scenario_26_streamed_output_is_this_process_s_own",
        ]),
    ),
    (32, Tests(&["scenario_32_and_33_callbacks_run_without_being_asked_and_at_once_when_it_is_over"])),
    (33, Tests(&["scenario_32_and_33_callbacks_run_without_being_asked_and_at_once_when_it_is_over"])),
    (34, Tests(&["scenario_34_as_completed_gives_finished_failed_and_canceled_ones"])),
    (35, Tests(&["scenario_35_and_36_running_done_and_cancel_are_consistent"])),
    (36, Tests(&["scenario_35_and_36_running_done_and_cancel_are_consistent"])),
    (37, Tests(&["scenario_37_an_exception_is_a_value_and_time_limits_are_errors"])),
    (38, Tests(&["scenario_38_leaving_cancels_what_is_waited_for"])),
    (39, Tests(&["scenario_39_a_large_result_is_fetched_when_asked_once_and_released"])),
    (40, Tests(&["scenario_40_the_failure_of_a_dead_worker_needs_no_storage"])),
    (41, Tests(&["scenario_41_and_42_a_cancel_that_crosses_the_result_changes_nothing_afterwards"])),
    (42, Tests(&["scenario_41_and_42_a_cancel_that_crosses_the_result_changes_nothing_afterwards"])),
    (43, Tests(&["scenario_43_profiles_tell_what_a_task_cost"])),
    (44, Tests(&["scenario_08_and_44_an_object_travels_once_a_processor_from_the_cluster_s_own_storage"])),
    (45, Tests(&["scenario_45_clear_ends_what_a_stopped_cluster_had"])),
    (46, Tests(&["a_cluster_without_a_scheduler_ends_with_5"])),
    (47, Tests(&["scenario_47_an_unprotected_scheduler_ends_with_its_workers"])),
    (48, Tests(&["scenario_48_a_protected_scheduler_refuses_and_goes_on"])),
    (87, Tests(&["set_get_override_empty_and_ranges"])),
    (88, Tests(&["gets_before_the_set_are_answered_by_it"])),
    (89, Tests(&["deletes_say_what_existed_and_a_second_id_keeps_the_content"])),
    (90, Tests(&["duplicates_wait_for_the_original_in_chains"])),
    (91, Tests(&["equal_contents_count_once_after_every_step"])),
    (92, Tests(&["a_dropped_get_and_a_half_sent_set_disturb_nobody", "random_bytes_close_only_their_connection"])),
    (93, Tests(&["an_object_goes_with_its_last_owner_and_not_before"])),
    (
        94,
        Tests(&[
            "every_option_of_the_original_is_set_by_each_of_its_names",
            "missing_files_and_addresses_and_bad_flags_say_what_to_do",
        ]),
    ),
    (
        95,
        Tests(&[
            "missing_files_and_addresses_and_bad_flags_say_what_to_do",
            "twenty_mistakes_and_more_are_told_at_once_with_file_line_key_and_remedy",
        ]),
    ),
    (96, Tests(&["names_and_capabilities_are_lists_with_commas_and_blanks"])),
    (
        97,
        Tests(&[
            "lists_end_before_the_address_and_flags_that_are_none_are_explained",
            "twenty_mistakes_and_more_are_told_at_once_with_file_line_key_and_remedy",
        ]),
    ),
    (
        98,
        Tests(&[
            "the_seeds_command_lines_run_from_one_file",
            "the_seeds_file_is_shown_with_the_origin_of_every_setting",
        ]),
    ),
];

/// The scenarios that this table answers for; the others are graphs, nested calls and scheduling.
fn wanted() -> BTreeSet<u32> {
    (1..=26).chain(32..=48).chain(87..=98).collect()
}

fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()) {
        if entry.is_dir() && entry.file_name().is_none_or(|name| name != "target") {
            sources(&entry, all);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(&entry).expect("source"));
        }
    }
}

#[test]
fn every_scenario_has_its_tests_or_a_reason() {
    let numbers: Vec<u32> = SCENARIOS.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), wanted());
    assert_eq!(numbers.len(), wanted().len(), "each once");
    let mut all = String::new();
    for folder in ["tests", "host"] {
        sources(&root().join(folder), &mut all);
    }
    for (number, by) in SCENARIOS {
        match by {
            Never(reason) => assert!(!reason.is_empty(), "{number}"),
            Tests(names) => {
                assert!(!names.is_empty(), "{number}");
                for name in *names {
                    assert!(
                        all.contains(&format!("#[test]\nfn {name}("))
                            || all.contains(&format!("#[test]\n    fn {name}(")),
                        "scenario {number}: there is no test `{name}`"
                    );
                }
            }
        }
    }
}
