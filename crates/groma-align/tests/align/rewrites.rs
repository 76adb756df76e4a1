//! Rows made of other rows, and what is learned from them.

use crate::rows::{Words, turns};
use crate::support::{Letters, completion, limits, model, place, rows, settings, text, voice};
use groma_align::{Prepared, REWRITES, Rewrite, prepare};
use groma_data::{Answer, Content, Row, Shape};
use groma_model::View;
use groma_model::generate::{GenerationContext, GenerationPrompt, generate};
use groma_model::sampling::SamplingParameters;
use groma_run::Seed;
use serde_json::{Value, json};

fn rewritten(id: &str, given: Value, rows: &[Row]) -> Vec<Row> {
    let made = Rewrite::find(id).unwrap().with(given.as_object().unwrap()).unwrap();
    rows.iter().flat_map(|row| made(row).unwrap()).collect()
}

fn shown(content: Option<&Content>) -> String {
    content.map(Content::shown).unwrap_or_default()
}

#[test]
fn settings_are_checked_and_names_suggested() {
    let error = |id: &str, given: Value| match Rewrite::find(id) {
        Ok(found) => found.with(given.as_object().unwrap()).err().unwrap().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error("hindsigt", json!({})).contains("hindsight"));
    assert!(error("hindsight", json!({"ordr": "both"})).contains("did you mean order?"));
    assert!(error("context", json!({})).contains("`context` must hold the text"));
    assert!(error("attributes", json!({})).contains("must name the columns"));
    for rewrite in REWRITES {
        assert!(!rewrite.doc.is_empty() && !rewrite.data.is_empty() && rewrite.paper.contains("20"), "{}", rewrite.id);
    }
}

/// Requests, good or bad, are never learned; the answers are.
#[test]
fn a_chain_of_hindsight_learns_answers_alone() {
    let words = Words::new(true);
    let pair = Row::preference(
        turns(&[("user", "hello")]),
        turns(&[("assistant", "a good one")]),
        turns(&[("assistant", "a bad answer")]),
        place(1),
    );
    let given = json!({"good": "try again", "bad": "try"});
    let made = rewritten("hindsight", given.clone(), &[pair]);
    assert_eq!(made.len(), 2);
    let prepared = words.prepared(&settings("sft", json!({})), &made).unwrap();
    let (good, bad) = ("a good one<|im_end|>", "a bad answer<|im_end|>");
    assert_eq!(words.learned(&prepared), [format!("{good}{bad}"), format!("{bad}{good}")]);
    assert_eq!(shown(made[0].prompt.as_ref()), "hello\ntry again");
    assert_eq!(shown(made[0].answer(0)), "assistant: a good one\n\nuser: try\n\nassistant: a bad answer");
    assert_eq!(shown(made[1].prompt.as_ref()), "hello\ntry");
    assert_eq!(shown(made[1].answer(0)), "assistant: a bad answer\n\nuser: try again\n\nassistant: a good one");
    // Of a ranking, all; the best alone is asked for as good.
    let ranked = rewritten(
        "hindsight",
        json!({"order": "best_last", "good": "try again", "bad": "try"}),
        &rows(Shape::Ranked)[..1],
    );
    assert_eq!(
        shown(ranked[0].answer(0)),
        "assistant:  hm.\n\nuser: try\n\nassistant:  go away.\n\nuser: try again\n\nassistant:  a good friend."
    );
    let asked = rewritten("hindsight", given, &[Row::of_prompt(turns(&[("user", "hello")]), place(1))]);
    assert_eq!((shown(asked[0].prompt.as_ref()), asked[0].answers.len()), ("hello\ntry again".into(), 0));
}

/// The policy's most likely answer to a text.
fn answer(policy: &groma_model::Transformer, prompt: &str) -> String {
    let voice = voice();
    let parameters = SamplingParameters { stop_ids: voice.stop_ids.clone(), ..SamplingParameters::greedy(8) };
    let context = GenerationContext { parameters: &parameters, decode: voice.decode, view: View::plain() };
    let ids = groma_align::Encode::prompt(&Letters::default(), &text(prompt)).unwrap();
    let asked = [GenerationPrompt { ids, seed: Seed::new(1) }];
    generate(policy, &asked, &context, &mut |_| true).unwrap()[0][0].text.clone()
}

/// Exchanging tags exchanges outputs.
#[test]
fn tags_say_which_answer_comes() {
    let pairs: Vec<Row> = [("who", "ab", "cd"), ("what", "ef", "gh"), ("how", "ij", "kl")]
        .iter()
        .zip(1..)
        .map(|((prompt, chosen, rejected), line)| {
            Row::preference(text(prompt), text(chosen), text(rejected), place(line))
        })
        .collect();
    let tags = json!({"good": "x ", "bad": "y "});
    let made = rewritten("control-tokens", tags, &pairs);
    assert_eq!(made.len(), 6);
    let settings = settings("sft", json!({"num_train_epochs": 120, "learning_rate": 1e-2}));
    let prepared: Prepared = prepare(&settings, &made, &Letters::default(), limits()).unwrap();
    let (_, trained) = crate::training::run(&settings, &prepared, model(2));
    for row in &pairs {
        let (prompt, chosen, rejected) = (row.question().plain(), shown(row.answer(0)), shown(row.answer(1)));
        assert_eq!(answer(&trained, &format!("x {prompt}")), chosen, "{prompt}");
        assert_eq!(answer(&trained, &format!("y {prompt}")), rejected, "{prompt}");
    }
}

#[test]
fn what_is_wanted_is_told_by_sides_labels_and_scores() {
    let tags = |given: Value, rows: &[Row]| -> Vec<bool> {
        let made = rewritten("control-tokens", given, rows);
        made.iter().map(|row| row.question().plain().starts_with("[good] ")).collect()
    };
    assert_eq!(tags(json!({}), &rows(Shape::Preference)[..1]), [true, false]);
    assert_eq!(tags(json!({}), &rows(Shape::Labelled)[..2]), [true, false]);
    assert_eq!(tags(json!({}), &rows(Shape::Ranked)[..1]), [true, false, false]);
    assert_eq!(tags(json!({"threshold": 0.5}), &rows(Shape::Ranked)[..1]), [true, true, false]);
    let scored = |score: Value| {
        let mut row = completion(1, "who", "me");
        row.other.insert("score".into(), score);
        row
    };
    assert_eq!(tags(json!({}), &[scored(json!(0.2)), scored(json!(-1))]), [true, false]);
    let made = Rewrite::find("control-tokens").unwrap().with(json!({}).as_object().unwrap()).unwrap();
    assert!(made(&completion(1, "who", "me")).unwrap_err().contains("must hold the answer's score, found nothing"));
}

#[test]
fn attributes_stand_before_the_prompt() {
    let mut row = Row::completion(turns(&[("user", "hello")]), turns(&[("assistant", "a good one")]), place(1));
    row.other.extend([("quality".to_owned(), json!(4)), ("tone".to_owned(), json!("kind"))]);
    let given = json!({"attributes": ["quality", "tone"]});
    assert_eq!(shown(rewritten("attributes", given, &[row.clone()])[0].prompt.as_ref()), "quality:4,tone:kind\nhello");
    let missing = Rewrite::find("attributes").unwrap().with(json!({"attributes": "length"}).as_object().unwrap());
    assert!(missing.unwrap()(&row).unwrap_err().contains("`length` must hold a number or a word"));
}

#[test]
fn a_context_that_was_added_can_be_removed() {
    let system = turns(&[("system", "be kind"), ("user", "hello")]);
    for prompt in [text("hello"), turns(&[("user", "hello")]), system] {
        let row = Row::of_prompt(prompt.clone(), place(1));
        let with = rewritten("context", json!({"context": "be brief"}), std::slice::from_ref(&row));
        assert!(with[0].question().plain().starts_with("be brief"), "{with:?}");
        let without = rewritten("context", json!({"context": "be brief", "change": "remove"}), &with);
        assert_eq!(without[0].question(), &prompt);
        let made = Rewrite::find("context").unwrap();
        let made = made.with(json!({"context": "be brief", "change": "remove"}).as_object().unwrap()).unwrap();
        assert!(made(&row).unwrap_err().contains("does not begin with the context"));
    }
}

#[test]
fn a_revision_is_a_chain_of_edits_and_the_answer() {
    let pair = Row::preference(
        turns(&[("user", "hello")]),
        turns(&[("assistant", "please go later now")]),
        turns(&[("assistant", "go away now")]),
        place(1),
    );
    let made = rewritten("edits", json!({}), std::slice::from_ref(&pair));
    assert_eq!(shown(made[0].prompt.as_ref()), "user: hello\n\nassistant: go away now\n\nuser: Revise your answer.");
    let chain = "<insert> please <keep> 1 <replace> away <with> later <keep> 1";
    assert_eq!(shown(made[0].answer(0)), format!("{chain}\nplease go later now"));
    let short = Rewrite::find("edits").unwrap().with(json!({"max_words": 3}).as_object().unwrap()).unwrap();
    assert!(short(&pair).unwrap_err().contains("an answer has 4 words"));
}

#[test]
fn one_side_of_comparisons() {
    let side = |side: &str, shape: Shape| -> Vec<String> {
        let made = rewritten("side", json!({"side": side}), &rows(shape)[..2]);
        made.iter().map(|row| shown(row.answer(0))).collect()
    };
    assert_eq!(side("wanted", Shape::Preference), [" a good friend.", " a red apple."]);
    assert_eq!(side("unwanted", Shape::Ranked), [" hm.", " hm."]);
    assert_eq!(side("wanted", Shape::Labelled), [" a good friend."]);
    let answered = |row: &Row| row.answers.iter().all(|answer: &Answer| answer.label.is_none());
    assert!(rewritten("side", json!({}), &rows(Shape::Labelled)).iter().all(answered));
}

/// What people say of answers, as columns; and prompts alone that ask for values.
#[test]
fn answers_apart_bring_what_is_known_of_each() {
    let made = rewritten("apart", json!({}), &rows(Shape::Preference)[..1]);
    let known = |row: &Row| (row.other["quality"].clone(), row.other["words"].clone());
    assert_eq!((known(&made[0]), known(&made[1])), ((json!(1), json!(3)), (json!(0), json!(2))));
    assert_eq!((made[0].shape, shown(made[1].answer(0))), (Shape::PromptCompletion, " go away.".into()));
    let ranked = rewritten("apart", json!({"quality": "worth"}), &rows(Shape::Ranked)[..1]);
    assert_eq!(
        ranked.iter().map(|row| row.other["worth"].clone()).collect::<Vec<_>>(),
        [json!(2.0), json!(1.0), json!(-0.5)]
    );
    let labelled = rewritten("apart", json!({}), &rows(Shape::Labelled)[..2]);
    assert_eq!((known(&labelled[0]).0, known(&labelled[1]).0), (json!(1), json!(0)));
    let asked = Row::of_prompt(turns(&[("user", "hello")]), place(1));
    let given = json!({"attributes": ["quality", "words"], "values": ["1", "3"]});
    assert_eq!(shown(rewritten("attributes", given, &[asked])[0].prompt.as_ref()), "quality:1,words:3\nhello");
    let wrong = Rewrite::find("attributes")
        .unwrap()
        .with(json!({"attributes": "a", "values": ["1", "2"]}).as_object().unwrap());
    assert!(wrong.err().unwrap().to_string().contains("one for each"));
}

#[test]
fn a_refinement_follows_feedback_and_is_taken_apart_again() {
    let mut pair = Row::preference(
        turns(&[("user", "hello")]),
        turns(&[("assistant", "good day")]),
        turns(&[("assistant", "go away")]),
        place(1),
    );
    pair.other.insert("reason".into(), json!("friendly"));
    let given = json!({"feedback": "Be {reason}."});
    let taught = rewritten("refinement", given.clone(), std::slice::from_ref(&pair));
    let asked = "user: hello\n\nassistant: go away\n\nuser: Be friendly.";
    assert_eq!((shown(taught[0].prompt.as_ref()), shown(taught[0].answer(0))), (asked.into(), "good day".into()));
    let mut own = Row::completion(turns(&[("user", "hello")]), turns(&[("assistant", "go away")]), place(2));
    own.other = pair.other.clone();
    let prompt = rewritten("refinement", given.clone(), std::slice::from_ref(&own));
    assert_eq!((shown(prompt[0].prompt.as_ref()), prompt[0].answers.len()), (asked.into(), 0));
    let undone = rewritten("refinement", json!({"change": "undo"}), &taught);
    assert_eq!((shown(undone[0].prompt.as_ref()), shown(undone[0].answer(0))), ("hello".into(), "good day".into()));
    own.other.clear();
    let made = |given: Value| Rewrite::find("refinement").unwrap().with(given.as_object().unwrap());
    assert!(made(given).unwrap()(&own).unwrap_err().contains("no column `reason`"));
    assert!(made(json!({"change": "undo"})).unwrap()(&own).unwrap_err().contains("holds no answer"));
    assert!(made(json!({})).err().unwrap().to_string().contains("`feedback` must hold"));
}

#[test]
fn what_a_teacher_is_told_stands_in_a_column_of_its_own() {
    let row = Row::of_prompt(text("hello"), place(1));
    let told = rewritten("context", json!({"context": "be brief", "change": "tell"}), std::slice::from_ref(&row));
    assert_eq!((&told[0].other["privileged_context"], told[0].question()), (&json!("be brief"), row.question()));
}

#[test]
fn each_answer_is_asked_about_and_the_unwanted_one_has_what_is_asked() {
    let pair = Row::preference(
        turns(&[("user", "hello {answer}")]),
        turns(&[("assistant", "good day")]),
        turns(&[("assistant", "go away, {prompt}")]),
        place(1),
    );
    let said = |rows: &[Row]| rows.iter().map(|row| (row.question().plain(), shown(row.answer(0)))).collect::<Vec<_>>();
    let given = json!({"attribute": "rude words", "question": "{prompt} / {answer} / {attribute}?"});
    let expected = [
        ("hello {answer} / good day / rude words?", " No"),
        ("hello {answer} / go away, {prompt} / rude words?", " Yes"),
    ];
    let expected = expected.map(|(asked, answer)| (asked.to_owned(), answer.to_owned()));
    let made = rewritten("diagnosis", given.clone(), std::slice::from_ref(&pair));
    assert_eq!(said(&made), expected);
    let swapped = rewritten("diagnosis", given.clone(), &[pair.swapped()]);
    assert_eq!(said(&swapped).iter().map(|(_, answer)| answer.as_str()).collect::<Vec<_>>(), [" No", " Yes"]);
    assert!(said(&swapped)[0].0.contains("go away"));
    let labelled = rewritten("diagnosis", json!({"attribute": "x"}), &rows(Shape::Labelled)[..2]);
    assert_eq!(labelled.iter().map(|row| shown(row.answer(0))).collect::<Vec<_>>(), [" No", " Yes"]);
    assert!(said(&labelled)[0].0.ends_with("\nQuestion: Does the above text contain x?\nAnswer:"), "{labelled:?}");
    let wrong =
        |given: Value| Rewrite::find("diagnosis").unwrap().with(given.as_object().unwrap()).err().unwrap().to_string();
    assert!(wrong(json!({})).contains("`attribute` must hold"));
    assert!(wrong(json!({"attribute": "x", "question": "why?"})).contains("{answer}"));
}

#[test]
fn a_critic_learns_feedback_and_what_it_says_is_heeded() {
    let mut pair = Row::preference(
        turns(&[("user", "hello")]),
        turns(&[("assistant", "good day")]),
        turns(&[("assistant", "go away")]),
        place(1),
    );
    pair.other.insert("reason".into(), json!("friendly"));
    let given = json!({"change": "critique", "feedback": "Be {reason}.", "request": "Well?"});
    let taught = rewritten("refinement", given, std::slice::from_ref(&pair));
    let asked = "user: hello\n\nassistant: go away\n\nuser: Well?";
    assert_eq!((shown(taught[0].prompt.as_ref()), shown(taught[0].answer(0))), (asked.into(), "Be friendly.".into()));
    let heeded = rewritten("refinement", json!({"change": "heed"}), &taught);
    let expected = "user: hello\n\nassistant: go away\n\nuser: Be friendly.";
    assert_eq!((shown(heeded[0].prompt.as_ref()), heeded[0].shape), (expected.into(), Shape::PromptOnly));
    assert_eq!(heeded[0].other, pair.other, "what is known of the question stays");
    let alone = Rewrite::find("refinement").unwrap().with(json!({"change": "heed"}).as_object().unwrap()).unwrap();
    assert!(alone(&completion(1, "who", "me")).unwrap_err().contains("no answer and request"));
}
