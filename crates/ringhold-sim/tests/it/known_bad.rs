//! Every mistake is found.
use ringhold_sim::known_bad::{KnownBad, hunt};
use ringhold_sim::plan::Profile;

#[test]
fn every_mistake_is_found() {
    let mut missed = Vec::new();
    for mistake in KnownBad::all() {
        let found = hunt(mistake, Profile::All, 0..300);
        match found {
            Some(r) => println!("{mistake:<26} {:<4} {:>4}  {}", mistake.trap(), r.plan.seed + 1, r.violation.unwrap()),
            None => {
                println!("{mistake:<26} {:<4} missed", mistake.trap());
                missed.push(mistake);
            }
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}
