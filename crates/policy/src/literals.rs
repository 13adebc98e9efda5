//! Names in policies: one that nothing can be called would never match, and its author would not find out.

use cedar_policy::{EntityUid, Policy};
use model::{GroupName, IdentityName, Login, TargetName};

/// Entities that are named in a policy and cannot exist: the text to look for, what is wrong, and a hint.
pub(crate) fn impossible(policy: &Policy) -> Vec<(String, String, Option<String>)> {
    let mut found = Vec::new();
    for literal in policy.entity_literals() {
        if let Err((message, hint)) = check(&literal) {
            let wrong = (literal.to_string(), message, hint);
            if !found.contains(&wrong) {
                found.push(wrong);
            }
        }
    }
    found
}

fn check(literal: &EntityUid) -> Result<(), (String, Option<String>)> {
    let id = literal.id().unescaped();
    let plain = |error: model::NameError| (error.to_string(), None);
    match literal.type_name().to_string().as_str() {
        "Identity" => id.parse::<IdentityName>().map(|_| ()).map_err(plain),
        "Group" => id.parse::<GroupName>().map(|_| ()).map_err(plain),
        "Target" => id.parse::<TargetName>().map(|_| ()).map_err(plain),
        "Login" => match id.split_once('@') {
            Some((login, target)) => {
                login.parse::<Login>().map_err(plain)?;
                target.parse::<TargetName>().map(|_| ()).map_err(plain)
            }
            None => {
                let message = format!("{literal} is on no target");
                let hint = format!("write Login::\"{id}@web1\", or `resource.name == \"{id}\"` in a condition");
                Err((message, Some(hint)))
            }
        },
        // The validator knows the rest.
        _ => Ok(()),
    }
}
