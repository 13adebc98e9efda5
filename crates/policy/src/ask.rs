//! A question in Cedar's terms: a request, and the few entities that it takes.

use std::collections::BTreeSet;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};
use model::{GroupName, IdentityName, Login, Target, Timestamp};

use crate::{Action, Question};

/// What Cedar is asked.
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

/// Puts a question in Cedar's terms; the error says why that cannot be done.
pub(crate) fn build(question: &Question<'_>, schema: &Schema, names: &Names) -> Result<Ask, String> {
    let asker = &question.asker;
    let principal = names.uid(&names.identity, asker.name.as_str());
    let mut entities = vec![person(names, asker.name, asker.groups)?];
    let resource = if question.action.is_about_login() {
        let (Some(target), Some(login)) = (question.target, question.login) else {
            return Err(format!("to ask for {} takes a target and a login", question.action));
        };
        let (at, on) = place(names, target, login)?;
        entities.extend([at, on]);
        login_uid(names, target, login)
    } else {
        names.uid(&names.system, "portcullis")
    };
    if let Some(requester) = question.context.requester
        && requester.name != asker.name
    {
        entities.push(person(names, requester.name, requester.groups)?);
    }
    let context = Context::from_pairs(context(names, question)?).map_err(text)?;
    let action = names.uid(&names.action, question.action.as_str());
    let request = Request::new(principal, action, resource, context, Some(schema)).map_err(text)?;
    let entities = Entities::from_entities(entities, None).map_err(text)?;
    Ok(Ask { request, entities })
}

/// The names of the entity types, parsed once.
#[derive(Debug)]
pub(crate) struct Names {
    identity: EntityTypeName,
    group: EntityTypeName,
    target: EntityTypeName,
    login: EntityTypeName,
    system: EntityTypeName,
    action: EntityTypeName,
}

impl Names {
    pub(crate) fn new() -> Result<Self, String> {
        let name = |name: &str| name.parse::<EntityTypeName>().map_err(text);
        Ok(Self {
            identity: name("Identity")?,
            group: name("Group")?,
            target: name("Target")?,
            login: name("Login")?,
            system: name("System")?,
            action: name("Action")?,
        })
    }

    fn uid(&self, of: &EntityTypeName, id: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
    }
}

fn person(names: &Names, name: &IdentityName, groups: &BTreeSet<GroupName>) -> Result<Entity, String> {
    let uid = names.uid(&names.identity, name.as_str());
    let parents = groups.iter().map(|group| names.uid(&names.group, group.as_str())).collect();
    let attributes = [("name".to_owned(), string(name.as_str()))];
    Entity::new(uid, attributes.into(), parents).map_err(text)
}

fn place(names: &Names, target: &Target, login: &Login) -> Result<(Entity, Entity), String> {
    let target_uid = names.uid(&names.target, target.name.as_str());
    let labels = target.labels.iter().map(|(label, value)| (label.clone(), string(value)));
    let attributes = [("name".to_owned(), string(target.name.as_str()))];
    let at = Entity::new_with_tags(target_uid.clone(), attributes, [], labels).map_err(text)?;
    let attributes = [
        ("name".to_owned(), string(login.as_str())),
        ("target".to_owned(), RestrictedExpression::new_entity_uid(target_uid.clone())),
    ];
    let on = Entity::new(login_uid(names, target, login), attributes.into(), [target_uid].into()).map_err(text)?;
    Ok((at, on))
}

fn login_uid(names: &Names, target: &Target, login: &Login) -> EntityUid {
    names.uid(&names.login, &format!("{login}@{}", target.name))
}

/// The circumstances that the schema names for the action.
fn context(names: &Names, question: &Question<'_>) -> Result<Vec<(String, RestrictedExpression)>, String> {
    let context = &question.context;
    // Datetimes of Cedar know milliseconds or seconds, and nothing finer.
    let now = Timestamp::from_seconds(context.now.seconds()).to_string();
    let mut pairs = vec![
        ("now".to_owned(), RestrictedExpression::new_datetime(now)),
        ("touch".to_owned(), RestrictedExpression::new_bool(question.asker.shown.touch)),
        ("totp".to_owned(), RestrictedExpression::new_bool(question.asker.shown.totp)),
    ];
    if let Some(address) = context.address {
        pairs.push(("address".to_owned(), RestrictedExpression::new_ip(address.to_string())));
    }
    let (asking, commanding, others) = match question.action {
        Action::Request => (true, true, false),
        Action::Review => (true, true, true),
        Action::Connect => (false, true, false),
        Action::Replay => (false, false, true),
        Action::Lock | Action::Administer => (false, false, false),
    };
    if asking {
        pairs.push(("duration".to_owned(), RestrictedExpression::new_long(context.duration.seconds().into())));
        pairs.extend(context.ticket.map(|ticket| ("ticket".to_owned(), string(ticket))));
    }
    if commanding {
        pairs.push(("way".to_owned(), string(context.way.as_str())));
        pairs.extend(context.command.map(|command| ("command".to_owned(), string(command))));
    }
    if others {
        let requester = context.requester;
        let requester = requester.ok_or_else(|| format!("to ask for {} takes a requester", question.action))?;
        let uid = names.uid(&names.identity, requester.name.as_str());
        pairs.push(("requester".to_owned(), RestrictedExpression::new_entity_uid(uid)));
    }
    Ok(pairs)
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

/// An error of Cedar's with its causes, which `Display` leaves out.
fn text(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
