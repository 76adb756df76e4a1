//! The files beside `tokenizer.json`: which tokens have a role, and at which ids generation ends.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::check::check_added;
use super::error::{Result, TokenizerError};

/// Names under which transformers keeps single special tokens.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What `tokenizer_config.json`, `special_tokens_map.json` and `generation_config.json` say.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// Text of each special token, by its role.
    pub(super) roles: BTreeMap<String, String>,
    /// Tokens that must be known beside those of `tokenizer.json`, in order of their ids.
    pub(super) added: Vec<AddedToken>,
    /// Ids at which generation ends, as `generation_config.json` gives them.
    pub(super) stop_ids: Vec<u32>,
    /// Longest input the tokenizer's authors meant.
    pub(super) max_length: Option<usize>,
}

pub(super) fn bad(file: &str, problem: impl Into<String>) -> TokenizerError {
    TokenizerError::File { file: file.into(), problem: problem.into() }
}

pub(super) fn object(files: &BTreeMap<String, Vec<u8>>, file: &str) -> Result<Map<String, Value>> {
    let Some(bytes) = files.get(file) else { return Ok(Map::new()) };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(bad(file, "not a JSON object")),
        Err(error) => Err(bad(file, error.to_string())),
    }
}

impl Config {
    /// Reads what is there; a file that is missing says nothing.
    pub(super) fn read(files: &BTreeMap<String, Vec<u8>>) -> Result<Self> {
        let mut config = Self::default();
        for file in ["tokenizer_config.json", "special_tokens_map.json"] {
            let fields = object(files, file)?;
            config.read_roles(file, &fields)?;
            config.read_added(file, &fields)?;
            let length = fields.get("model_max_length").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
            config.max_length = config.max_length.or(length);
            check_added(file, config.added.iter().map(|token| &*token.content))?;
        }
        config.stop_ids = stop_ids(&object(files, "generation_config.json")?)?;
        Ok(config)
    }

    /// Whether a token fills batches, and has no other role.
    pub(super) fn only_fills(&self, token: &str) -> bool {
        let mut roles = self.roles.iter().filter(|(_, content)| *content == token).map(|(role, _)| role.as_str());
        roles.next() == Some("pad_token") && roles.next().is_none()
    }

    fn read_roles(&mut self, file: &str, fields: &Map<String, Value>) -> Result<()> {
        for role in ROLES {
            let Some(token) = token(file, role, fields.get(role))? else { continue };
            if !self.roles.contains_key(role) {
                self.roles.insert(role.into(), token.content.clone());
                self.added.push(token);
            }
        }
        for list in ["extra_special_tokens", "additional_special_tokens"] {
            for item in fields.get(list).and_then(Value::as_array).into_iter().flatten() {
                self.added.extend(token(file, list, Some(item))?);
            }
        }
        Ok(())
    }

    fn read_added(&mut self, file: &str, fields: &Map<String, Value>) -> Result<()> {
        let Some(listed) = fields.get("added_tokens_decoder").and_then(Value::as_object) else { return Ok(()) };
        let mut tokens = BTreeMap::new();
        for (id, value) in listed {
            let id: u32 = id.parse().map_err(|_| bad(file, format!("`added_tokens_decoder` has the id {id:?}")))?;
            tokens.extend(token(file, "added_tokens_decoder", Some(value))?.map(|token| (id, token)));
        }
        // Those with ids come first, so that new ones get the ids they are listed with.
        let later = std::mem::take(&mut self.added);
        self.added = tokens.into_values().chain(later).collect();
        Ok(())
    }
}

/// A token given as text or as an object with flags.
fn token(file: &str, field: &str, value: Option<&Value>) -> Result<Option<AddedToken>> {
    let (content, flags) = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(content)) => (content.clone(), None),
        Some(Value::Object(fields)) => match fields.get("content").and_then(Value::as_str) {
            Some(content) => (content.to_owned(), Some(fields)),
            None => return Err(bad(file, format!("`{field}` has no `content`"))),
        },
        Some(_) => return Err(bad(file, format!("`{field}` is neither a text nor an object"))),
    };
    if content.is_empty() {
        return Ok(None);
    }
    let flag = |name: &str, default: bool| {
        flags.and_then(|fields| fields.get(name)).and_then(Value::as_bool).unwrap_or(default)
    };
    let special = field != "added_tokens_decoder" || flag("special", false);
    let token = AddedToken::from(content, special)
        .single_word(flag("single_word", false))
        .lstrip(flag("lstrip", false))
        .rstrip(flag("rstrip", false))
        .normalized(flag("normalized", !special));
    Ok(Some(token))
}

fn stop_ids(fields: &Map<String, Value>) -> Result<Vec<u32>> {
    let wrong = || bad("generation_config.json", "`eos_token_id` is neither an id nor a list of ids");
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong);
    let mut ids = match fields.get("eos_token_id") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().map(id).collect::<Result<_>>()?,
        Some(value) => vec![id(value)?],
    };
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
