//! Queries that can be compiled and are surely a mistake.

use crate::syntax::{Access, Binary, Kind, Pattern, PatternKey, Piece, Problem, Term, Update};

/// Finds what is surely a mistake in the query of this syntax tree, in the order of the text.
pub fn lint(tree: &Term) -> Vec<Problem> {
    let mut found = Vec::new();
    look(tree, &mut found);
    found.sort_by_key(|problem: &Problem| problem.span.start);
    found
}

/// The same for a query whose result only counts as true or false, such as that of a route.
pub fn lint_condition(tree: &Term) -> Vec<Problem> {
    let mut found = lint(tree);
    condition(tree, &mut found);
    found.sort_by_key(|problem: &Problem| problem.span.start);
    found
}

fn look(term: &Term, found: &mut Vec<Problem>) {
    match &term.kind {
        Kind::Call(name, arguments) if name == "select" && arguments.len() == 1 => {
            condition(&arguments[0], found);
        }
        Kind::If(branches, _) => branches.iter().for_each(|branch| condition(&branch.condition, found)),
        Kind::Binary(Binary::And | Binary::Or, left, right) => {
            // A condition's own parts were looked at as such.
            for side in [left, right] {
                if let Kind::Update(Update::Assign, ..) = &side.kind {
                    condition(side, found);
                }
            }
        }
        Kind::Binary(operation, left, right)
            if is_comparison(*operation) && is_literal(left) && is_literal(right) =>
        {
            add(found, term, "two literals are compared, so that the result is always the same");
        }
        Kind::Pipe(..) => pipe(term, found),
        _ => {}
    }
    each_part(term, &mut |part| look(part, found));
}

fn add(found: &mut Vec<Problem>, term: &Term, message: &str) {
    let problem = Problem::new(term.span.clone(), message);
    if !found.contains(&problem) {
        found.push(problem);
    }
}

fn is_comparison(operation: Binary) -> bool {
    matches!(
        operation,
        Binary::Equal
            | Binary::NotEqual
            | Binary::Less
            | Binary::LessOrEqual
            | Binary::Greater
            | Binary::GreaterOrEqual
    )
}

/// True if it is a text, a number, `true`, `false` or `null`, as it stands.
fn is_literal(term: &Term) -> bool {
    match &term.kind {
        Kind::Number(_) => true,
        Kind::Text(..) => term.literal_text().is_some(),
        Kind::Call(name, arguments) => arguments.is_empty() && matches!(&**name, "true" | "false" | "null"),
        _ => false,
    }
}

/// A term of which only matters whether it holds.
fn condition(term: &Term, found: &mut Vec<Problem>) {
    match &term.kind {
        Kind::Update(Update::Assign, left, _) if may_be_path(left) => {
            let message = "`=` assigns, and its result is a condition that always holds: `==` compares";
            add(found, term, message);
        }
        Kind::Update(Update::Assign, ..) => {
            let message =
                "`=` assigns to everything on its left, which is no path, so that this fails: `==` compares";
            add(found, term, message);
        }
        Kind::Update(update, left, _) if !may_be_path(left) => {
            let sign = update.sign();
            let message =
                format!("`{sign}` changes everything on its left, which is no path, so that this fails");
            add(found, term, &message);
        }
        Kind::Update(update, ..) => {
            let message = format!(
                "`{}` changes the input, and the result is a condition that always holds",
                update.sign()
            );
            add(found, term, &message);
        }
        Kind::Number(_) | Kind::Array(_) | Kind::Object(_) => {
            add(found, term, "this condition is not `false` or `null`, so that it always holds");
        }
        Kind::Text(..) => add(found, term, "this condition is a text, so that it always holds"),
        Kind::Binary(Binary::And | Binary::Or, left, right) => {
            condition(left, found);
            condition(right, found);
        }
        Kind::Pipe(_, right) => condition(right, found),
        _ => {}
    }
}

/// True if the results of a term can be places in the input, as an operator that assigns needs them on its left.
fn may_be_path(term: &Term) -> bool {
    match &term.kind {
        Kind::Binary(Binary::Alternative, left, right) | Kind::Comma(left, right) => {
            may_be_path(left) && may_be_path(right)
        }
        Kind::Pipe(left, right) => may_be_path(left) && may_be_path(right),
        Kind::Index(base, _) => may_be_path(base),
        Kind::Binary(..)
        | Kind::Number(_)
        | Kind::Text(..)
        | Kind::Array(_)
        | Kind::Object(_)
        | Kind::Negate(_) => false,
        _ => true,
    }
}

/// Parts of a pipe whose value nothing uses, or that cannot be used as it is.
fn pipe(term: &Term, found: &mut Vec<Problem>) {
    let (mut stages, mut rest) = (Vec::new(), term);
    while let Kind::Pipe(left, right) = &rest.kind {
        stages.push(&**left);
        rest = right;
    }
    stages.push(rest);
    for pair in stages.windows(2) {
        let [literal, next] = pair else { continue };
        if !is_literal(literal) {
            continue;
        }
        if is_literal(next) {
            add(found, literal, "nothing uses this value: what follows in the pipe is a literal too");
        } else if let (Some(name), true) = (member(next), literal.literal_text().is_some()) {
            add(found, literal, &format!("this text is what `.{name}` is asked of, which always fails"));
        }
    }
}

/// The name that a path begins with.
fn member(term: &Term) -> Option<&str> {
    let Kind::Index(base, access) = &term.kind else { return None };
    match (&base.kind, &**access) {
        (Kind::Identity, Access::At(name)) => name.literal_text(),
        _ => member(base),
    }
}

/// Calls `work` with each part of a term.
fn each_part(term: &Term, work: &mut dyn FnMut(&Term)) {
    match &term.kind {
        Kind::Text(_, pieces) => {
            for piece in pieces {
                if let Piece::Value(part) = piece {
                    work(part);
                }
            }
        }
        Kind::Index(base, access) => {
            work(base);
            match &**access {
                Access::At(key) => work(key),
                Access::Slice(from, until) => from.iter().chain(until).for_each(work),
                Access::Each => {}
            }
        }
        Kind::Try(body, caught) => {
            work(body);
            caught.iter().for_each(|part| work(part));
        }
        Kind::Array(Some(part)) | Kind::Negate(part) | Kind::Label(_, part) => work(part),
        Kind::Object(pairs) => {
            for pair in pairs {
                work(&pair.name);
                pair.value.iter().for_each(&mut *work);
            }
        }
        Kind::Pipe(left, right)
        | Kind::Comma(left, right)
        | Kind::Binary(_, left, right)
        | Kind::Update(_, left, right) => {
            work(left);
            work(right);
        }
        Kind::As(source, patterns, body) => {
            work(source);
            patterns.iter().for_each(|pattern| each_in_pattern(pattern, work));
            work(body);
        }
        Kind::Reduce(source, patterns, parts) => {
            work(source);
            patterns.iter().for_each(|pattern| each_in_pattern(pattern, work));
            work(&parts.0);
            work(&parts.1);
        }
        Kind::Foreach(source, patterns, parts) => {
            work(source);
            patterns.iter().for_each(|pattern| each_in_pattern(pattern, work));
            work(&parts.0);
            work(&parts.1);
            parts.2.iter().for_each(work);
        }
        Kind::If(branches, otherwise) => {
            for branch in branches {
                work(&branch.condition);
                work(&branch.then);
            }
            otherwise.iter().for_each(|part| work(part));
        }
        Kind::Def(definition, body) => {
            work(&definition.body);
            work(body);
        }
        Kind::Call(_, arguments) => arguments.iter().for_each(work),
        _ => {}
    }
}

fn each_in_pattern(pattern: &Pattern, work: &mut dyn FnMut(&Term)) {
    match pattern {
        Pattern::Variable(_) => {}
        Pattern::Array(elements) => elements.iter().for_each(|element| each_in_pattern(element, work)),
        Pattern::Object(members) => {
            for (key, pattern) in members {
                if let PatternKey::Term(term) = key {
                    work(term);
                }
                pattern.iter().for_each(|pattern| each_in_pattern(pattern, work));
            }
        }
    }
}
