//! How many workers there are and how many are lost: counted and worded once for `status`, `scaler_top` and, in
//! `ui/page/model.js`, the page.

use std::collections::BTreeSet;

use scaler_proto::view::WorkerView;

use crate::plural::counted;

/// "2 workers in 1 cluster", and of those whose connection is lost: ", 3 workers in 1 cluster lost".
pub(crate) fn presence(workers: &[WorkerView]) -> String {
    let (lost, here): (Vec<_>, Vec<_>) = workers.iter().partition(|worker| worker.state == "lost");
    let gone = if lost.is_empty() { String::new() } else { format!(", {} lost", headcount(&lost)) };
    headcount(&here) + &gone
}

fn headcount(workers: &[&WorkerView]) -> String {
    let clusters: BTreeSet<_> = workers.iter().map(|worker| &worker.cluster).collect();
    format!("{} in {}", counted(workers.len(), "worker"), counted(clusters.len(), "cluster"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_and_who_is_lost_are_told_apart() {
        let worker = |cluster: &str, state: &str| WorkerView {
            cluster: cluster.to_owned(),
            state: state.to_owned(),
            ..WorkerView::default()
        };
        let mut workers = vec![worker("a", "ready"), worker("a", "leaving"), worker("b", "lost")];
        assert_eq!(presence(&workers[..2]), "2 workers in 1 cluster");
        assert_eq!(presence(&workers), "2 workers in 1 cluster, 1 worker in 1 cluster lost");
        workers.iter_mut().for_each(|worker| worker.state = "lost".to_owned());
        assert_eq!(presence(&workers), "0 workers in 0 clusters, 3 workers in 2 clusters lost");
        assert_eq!(presence(&[]), "0 workers in 0 clusters");
    }
}
