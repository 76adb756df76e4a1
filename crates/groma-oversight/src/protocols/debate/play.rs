//! Games played: by two debaters, and by a consultant alone.

use groma_run::Random;

use super::claim::{Claim, Question, one_of};
use crate::Transcript;

/// Both claims of a question, each defended once: who tells the truth has either role.
pub(super) fn debates(question: &Question, game: &str, accuracy: f64, random: &mut Random) -> [Transcript; 2] {
    [&question.right, &question.wrong].map(|claim| {
        let honest = claim.holds();
        let form = format!("{game}: who tells the truth {}", if honest { "defends" } else { "disputes" });
        let mut transcript = Transcript { question: question.text.clone(), form, ..Transcript::default() };
        transcript.say("defender", claim.says());
        let step = dispute(&**claim, honest, &mut transcript, random);
        decide(&mut transcript, step, honest, accuracy, random);
        transcript
    })
}

/// Whether the step holds that is left of a claim in the end. Who disputes it picks a part that does not hold, where he tells the
/// truth, and any where he does not.
fn dispute(claim: &dyn Claim, defender_is_honest: bool, transcript: &mut Transcript, random: &mut Random) -> bool {
    let parts = claim.parts(random);
    if parts.is_empty() {
        return claim.holds();
    }
    let said: Vec<String> = parts.iter().map(|part| part.says()).collect();
    transcript.say("defender", said.join("; "));
    let suspect: Vec<usize> = (0..parts.len()).filter(|&part| defender_is_honest || !parts[part].holds()).collect();
    let picked = match suspect.len() {
        0 => one_of(parts.len(), random),
        count => suspect[one_of(count, random)],
    };
    transcript.say("challenger", format!("I dispute that {}", said[picked]));
    dispute(&*parts[picked], defender_is_honest, transcript, random)
}

/// Both claims of a question, each argued by a consultant alone; and how often the judge decides for the truth in theory.
///
/// Of `T` steps, of which `F` are false, the judge checks one at random, and believes the whole where he believes that: with a
/// judge who is right with probability `p`, a false claim is found out with `p F / T + (1 - p) (1 - F / T)`.
pub(super) fn consultations(
    question: &Question,
    game: &str,
    accuracy: f64,
    random: &mut Random,
) -> ([Transcript; 2], f64) {
    let mut theory = 0.0;
    let transcripts = [&question.right, &question.wrong].map(|claim| {
        let honest = claim.holds();
        let form = format!("{game}: a consultant who {}", if honest { "tells the truth" } else { "lies" });
        let mut transcript = Transcript { question: question.text.clone(), form, ..Transcript::default() };
        let steps = steps(&**claim, &mut transcript, random);
        let wrong = steps.iter().filter(|holds| !**holds).count() as f64 / steps.len() as f64;
        let accepted = accuracy * (1.0 - wrong) + (1.0 - accuracy) * wrong;
        theory += 0.5 * if honest { accepted } else { 1.0 - accepted };
        decide(&mut transcript, steps[one_of(steps.len(), random)], honest, accuracy, random);
        transcript
    });
    (transcripts, theory)
}

/// Whether each of the steps holds that a claim comes down to.
fn steps(claim: &dyn Claim, transcript: &mut Transcript, random: &mut Random) -> Vec<bool> {
    transcript.say("consultant", claim.says());
    let parts = claim.parts(random);
    if parts.is_empty() {
        return vec![claim.holds()];
    }
    parts.iter().flat_map(|part| steps(&**part, transcript, random)).collect()
}

/// The judge checks a step, and is right about it with a probability; he believes the whole claim where he believes the step.
fn decide(transcript: &mut Transcript, step_holds: bool, claim_holds: bool, accuracy: f64, random: &mut Random) {
    let is_right = groma_data::uniform(random) < accuracy;
    let believes = step_holds == is_right;
    transcript.verdict = Some(if believes { "the claim holds" } else { "the claim does not hold" }.to_owned());
    transcript.right = Some(believes == claim_holds);
    transcript.cost.judgements += 1;
}

#[cfg(test)]
mod tests {
    use super::super::games::GAMES;
    use super::*;
    use groma_run::Seed;

    /// Irving et al. 2018: with a judge who is right about a step, the truth wins every debate, whoever defends it.
    #[test]
    fn a_judge_who_sees_one_step_right_decides_all_debates_right() {
        let mut random = Seed::new(3).rng();
        for game in &GAMES {
            for size in [4, 16, 256] {
                for _ in 0..40 {
                    let question = (game.pose)(size, &mut random);
                    let debates = debates(&question, game.id, 1.0, &mut random);
                    assert!(debates.iter().all(|debate| debate.right == Some(true)), "{}: {debates:?}", question.text);
                    // A debate of a list of n goes through log n steps, and the judge is asked once.
                    assert!(
                        debates.iter().all(|debate| debate.cost.judgements == 1 && debate.cost.statements <= 1 + 2 * 8)
                    );
                    let wrong = super::debates(&question, game.id, 0.0, &mut random);
                    assert!(wrong.iter().all(|debate| debate.right == Some(false)));
                }
            }
        }
    }

    /// One false step among T is found by one check with probability 1 / T.
    #[test]
    fn a_lie_hides_among_the_steps_of_a_consultant() {
        let mut random = Seed::new(4).rng();
        let sum = &GAMES[0];
        let mut found = 0;
        for _ in 0..4000 {
            let question = (sum.pose)(16, &mut random);
            let ([honest, lie], theory) = consultations(&question, sum.id, 1.0, &mut random);
            assert!((theory - 0.5 * (1.0 + 1.0 / 8.0)).abs() < 1e-12, "a list of 16 has 8 steps: {theory}");
            assert_eq!(honest.right, Some(true));
            found += usize::from(lie.right == Some(true));
        }
        let share = found as f64 / 4000.0;
        assert!((share - 0.125).abs() < 4.0 * (0.125 * 0.875 / 4000.0_f64).sqrt(), "{share}");
    }
}
