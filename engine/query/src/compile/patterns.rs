//! Patterns of `as`, `reduce` and `foreach`.

use super::{Compiled, Compiler};
use crate::program::{Kind, Member, Node, Pattern, Patterns};
use crate::syntax;
use crate::value::Val;

impl Compiler {
    /// Compiles patterns and brings their variables into scope.
    pub(super) fn patterns(&mut self, patterns: &[syntax::Pattern]) -> Compiled<Patterns> {
        if let [pattern] = patterns {
            let patterns = vec![self.pattern(pattern)?];
            return Ok(Patterns { patterns, names: Vec::new(), count: 0 });
        }
        let mut all: Vec<String> = Vec::new();
        let (mut compiled, mut names) = (Vec::new(), Vec::new());
        for pattern in patterns {
            let scope = self.scope.mark();
            compiled.push(self.pattern(pattern)?);
            self.scope.reset(scope);
            let mut bound = Vec::new();
            collect(pattern, &mut bound);
            let numbers = bound.into_iter().map(|name| {
                all.iter().position(|known| known == name).unwrap_or_else(|| {
                    all.push(name.to_owned());
                    all.len() - 1
                })
            });
            names.push(numbers.collect());
        }
        for name in &all {
            self.scope.variable(name);
        }
        Ok(Patterns { patterns: compiled, names, count: all.len() })
    }

    fn pattern(&mut self, pattern: &syntax::Pattern) -> Compiled<Pattern> {
        Ok(match pattern {
            syntax::Pattern::Variable(name) => {
                self.scope.variable(name);
                Pattern::Variable
            }
            syntax::Pattern::Array(elements) => {
                Pattern::Array(elements.iter().map(|element| self.pattern(element)).collect::<Compiled<_>>()?)
            }
            syntax::Pattern::Object(members) => {
                let members = members.iter().map(|(key, pattern)| {
                    let (name, bound) = match key {
                        syntax::PatternKey::Term(term) => {
                            let name = self.term(term)?;
                            match &name.kind {
                                Kind::Constant(value) if value.as_text().is_none() => {
                                    let (kind, shown) = (value.kind(), crate::value::shown(value));
                                    let message = format!("Cannot use {kind} ({shown}) as object key");
                                    return Err(syntax::Problem::new(term.span.clone(), message));
                                }
                                _ => (name, false),
                            }
                        }
                        syntax::PatternKey::Variable(name) => {
                            self.scope.variable(name);
                            (Node::new(Kind::Constant(Val::from(name.as_str()))), true)
                        }
                    };
                    let pattern = pattern.as_ref().map(|pattern| self.pattern(pattern)).transpose()?;
                    Ok(Member { name, bound, pattern })
                });
                Pattern::Object(members.collect::<Compiled<_>>()?)
            }
        })
    }
}

/// The variables of a pattern, in the order in which they are bound.
fn collect<'a>(pattern: &'a syntax::Pattern, names: &mut Vec<&'a str>) {
    match pattern {
        syntax::Pattern::Variable(name) => names.push(name),
        syntax::Pattern::Array(elements) => elements.iter().for_each(|element| collect(element, names)),
        syntax::Pattern::Object(members) => {
            for (key, pattern) in members {
                if let syntax::PatternKey::Variable(name) = key {
                    names.push(name);
                }
                pattern.iter().for_each(|pattern| collect(pattern, names));
            }
        }
    }
}
