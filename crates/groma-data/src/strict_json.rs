//! JSON values, more strictly than serde_json reads them: no key twice, no nesting beyond a limit.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::excerpt::excerpt;
use crate::limits::Limits;

/// Why bytes are no row, and where in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Lines after the first.
    pub(crate) line_offset: u64,
    /// The byte in that line, from 1.
    pub(crate) column: Option<u64>,
    /// What is wrong.
    pub(crate) why: String,
    /// The text around it.
    pub(crate) excerpt: String,
}

impl Fault {
    /// A fault at byte `at` of a row.
    pub(crate) fn at(bytes: &[u8], at: usize, why: impl Into<String>) -> Self {
        let before = &bytes[..at.min(bytes.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
        Fault {
            line_offset: before.iter().filter(|byte| **byte == b'\n').count() as u64,
            column: Some((before.len() - line_start) as u64 + 1),
            why: why.into(),
            excerpt: excerpt(bytes, at),
        }
    }

    /// A fault of a row as a whole.
    pub(crate) fn whole(bytes: &[u8], why: impl Into<String>) -> Self {
        Fault { line_offset: 0, column: None, why: why.into(), excerpt: excerpt(bytes, 0) }
    }
}

/// Text out of bytes, or the place where they stop being UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Fault::at(bytes, at, format!("byte 0x{:02x} is not UTF-8", bytes[at]))
    })
}

/// The one field of an object that stands for a value which JSON cannot hold.
const UNREADABLE: &str = "\0unreadable";

/// Stands for a value that JSON cannot hold; whoever reads the column says what it is, and nobody else minds.
pub(crate) fn stand_in(what: impl Into<String>) -> Value {
    Value::Object(Map::from_iter([(UNREADABLE.to_owned(), Value::String(what.into()))]))
}

/// What a [`stand_in`] stands for.
pub(crate) fn unreadable(value: &Value) -> Option<&str> {
    value.as_object().filter(|fields| fields.len() == 1)?.get(UNREADABLE)?.as_str()
}

/// The most stand-ins in a row; each takes some hundred bytes.
const MAX_STAND_INS: usize = 4096;

/// The text with stand-ins for Python's NaN and infinities, which its `json` writes as if they were JSON.
fn with_stand_ins(text: &str) -> Option<String> {
    let names = [("NaN", "NaN"), ("Infinity", "an infinite number"), ("-Infinity", "an infinite number")];
    let mut out = String::with_capacity(text.len());
    let (mut done, mut quoted, mut escaped, mut at, mut count) = (0, false, false, 0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() && count <= MAX_STAND_INS {
        let byte = bytes[at];
        let name = names.iter().find(|(name, _)| !quoted && bytes[at..].starts_with(name.as_bytes()));
        if let Some((name, what)) = name {
            out.push_str(&text[done..at]);
            out.push_str(&stand_in(*what).to_string());
            at += name.len();
            (done, count) = (at, count + 1);
            continue;
        }
        quoted ^= byte == b'"' && !escaped;
        escaped = quoted && byte == b'\\' && !escaped;
        at += 1;
    }
    out.push_str(&text[done..]);
    (1..=MAX_STAND_INS).contains(&count).then_some(out)
}

/// The fields of one JSON object.
pub(crate) fn parse_object(bytes: &[u8], limits: &Limits) -> Result<Map<String, Value>, Fault> {
    match parse_value(bytes, limits)? {
        Value::Object(fields) if fields.is_empty() => Err(Fault::whole(bytes, "the object has no fields")),
        Value::Object(fields) if fields.len() > limits.fields => {
            let why = format!("the object has {} fields, more than the limit of {}", fields.len(), limits.fields);
            Err(Fault::whole(bytes, why))
        }
        Value::Object(fields) => Ok(fields),
        other => Err(Fault::whole(bytes, format!("expected an object with named fields, found {}", kind_of(&other)))),
    }
}

/// One JSON value and nothing after it. NaN and infinities, which are no JSON but written by Python, become stand-ins.
pub(crate) fn parse_value(bytes: &[u8], limits: &Limits) -> Result<Value, Fault> {
    let text = utf8(bytes)?;
    parse_text(text, limits).or_else(|error| {
        let again = with_stand_ins(text).and_then(|text| parse_text(&text, limits).ok());
        again.ok_or_else(|| syntax_fault(bytes, &error))
    })
}

fn parse_text(text: &str, limits: &Limits) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth_left: limits.depth }.deserialize(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

/// The kind of a value, with its article.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn syntax_fault(bytes: &[u8], error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let why = match error.classify() {
        serde_json::error::Category::Eof => format!("the row ends inside a JSON value ({message})"),
        _ if message == "trailing characters" => "something follows the JSON value".to_owned(),
        serde_json::error::Category::Syntax => format!("not valid JSON ({message})"),
        _ => message.to_owned(),
    };
    let line_start = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(error.line().saturating_sub(2))
        .filter(|_| error.line() > 1)
        .map_or(0, |(position, _)| position + 1);
    Fault::at(bytes, line_start + error.column().saturating_sub(1), why)
}

/// Reads any value, counting levels.
#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Strict { depth_left }),
            None => Err(E::custom("lists and objects are nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut fields = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(inner)?;
            if fields.contains_key(&key) {
                return Err(A::Error::custom(format!("the field {key:?} occurs twice")));
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(text: &[u8]) -> Fault {
        parse_object(text, &Limits::default()).unwrap_err()
    }

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#"{"b":[1,-2,3.5,null,true,{"x":"é\n"}],"a":18446744073709551615,"e":{}}"#;
        let value = parse_value(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(value["b"][5], json!({"x": "é\n"}));
        assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["b", "a", "e"], "order is kept");
    }

    #[test]
    fn faults_have_places() {
        let f = fault(b"{\"a\": 1,}");
        assert_eq!((f.line_offset, f.column), (0, Some(9)), "{f:?}");
        let f = fault(b"{\"a\":\n 1,\n \"a\": x}");
        assert_eq!((f.line_offset, f.column), (2, Some(7)), "{f:?}");
        let f = fault(b"{\"a\": \"\xff\"}");
        assert_eq!((f.column, &*f.why), (Some(8), "byte 0xff is not UTF-8"));
    }

    #[test]
    fn what_python_writes_as_if_it_were_json_stands_aside() {
        let read = |text: &str| parse_object(text.as_bytes(), &Limits::default());
        let fields = read(r#"{"a": NaN, "b": [-Infinity, 1], "c": "NaN \"NaN", "d": {"e": Infinity}}"#).unwrap();
        assert_eq!(unreadable(&fields["a"]), Some("NaN"));
        assert_eq!(unreadable(&fields["b"][0]), Some("an infinite number"));
        assert_eq!((&fields["b"][1], &fields["c"]), (&json!(1), &json!("NaN \"NaN")));
        assert!(unreadable(&fields["d"]["e"]).is_some() && unreadable(&fields["d"]).is_none());
        assert!(read(r#"{"a": NaNa}"#).is_err() && read(r#"{NaN: 1}"#).is_err());
        assert_eq!(fault(br#"{"a": NaN, "b": x}"#).column, Some(7));
    }

    #[test]
    fn depth_and_repeated_keys_are_refused() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse_object(nested(63).as_bytes(), &Limits::default()).is_ok());
        assert!(fault(nested(64).as_bytes()).why.contains("nested too deeply"));
        assert!(fault(nested(10_000).as_bytes()).why.contains("nested too deeply"));
        assert!(fault(br#"{"a":1,"b":{"x":1,"x":2}}"#).why.contains(r#""x" occurs twice"#));
    }
}
