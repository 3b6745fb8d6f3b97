//! Data as the validator walks over it: every step is counted, and after the last that is allowed there is nothing more to see.
//!
//! Schemas that branch and recur can ask for more steps than there are atoms; what asks too much is cut off here, whatever
//! its shape.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::ControlFlow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object};
use serde_json::Value;

use super::data::Data;
use super::number::Number;

/// What an error costs, in steps: it takes that much more time and memory.
const ERROR_STEPS: usize = 64;
/// Bytes of a text that are looked through in a step.
const STEP_BYTES: usize = 32;

/// Steps that are left.
#[derive(Debug, Default)]
pub(super) struct Work {
    left: Cell<usize>,
    spent: Cell<bool>,
}

impl Work {
    pub(super) fn new(steps: usize) -> Self {
        Self { left: Cell::new(steps), spent: Cell::new(false) }
    }

    /// Whether more was asked than allowed: then a verdict means nothing.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    fn step(&self, steps: usize) {
        match self.left.get().checked_sub(steps) {
            Some(left) => self.left.set(left),
            None => self.spent.set(true),
        }
    }
}

/// How the validator reads [`Data`].
pub(super) struct Tree;

/// A place in the data.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    data: &'a Data<'a>,
    work: &'a Work,
}

impl<'a> Place<'a> {
    pub(super) fn new(data: &'a Data<'a>, work: &'a Work) -> Self {
        Self { data, work }
    }
}

impl Json for Tree {
    type Node<'a> = Place<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = (Data<'static>, Work);

    // A look-up is a binary search.
    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>(
        (data, work): &mut (Data<'static>, Work),
        string: &str,
        f: impl FnOnce(Place<'_>) -> T,
    ) -> T {
        *data = Data::String(Cow::Owned(string.to_owned()));
        f(Place { data, work })
    }
}

impl<'a> Node<'a, Tree> for Place<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = Number<'a>;

    fn as_object(&self) -> Option<Members<'a>> {
        self.work.step(1);
        match self.data {
            Data::Object(members) => Some(Members { members, work: self.work }),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<Items<'a>> {
        self.work.step(1);
        match self.data {
            Data::Array(items) => Some(Items { items, work: self.work }),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.data.as_str();
        self.work.step(1 + text.map_or(0, str::len) / STEP_BYTES);
        text.map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<Number<'a>> {
        match self.data {
            Data::Number(number) => {
                self.work.step(1 + number.0.len() / STEP_BYTES);
                Some(*number)
            }
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.data {
            Data::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    fn is_number(&self) -> bool {
        matches!(self.data, Data::Number(_))
    }

    fn json_type(&self) -> JsonType {
        self.work.step(1);
        match self.data {
            Data::Null => JsonType::Null,
            Data::Boolean(_) => JsonType::Boolean,
            Data::Number(_) => JsonType::Number,
            Data::String(_) => JsonType::String,
            Data::Array(_) => JsonType::Array,
            Data::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        self.work.step(1);
        self.data.equals(expected)
    }

    /// Asked for where an error is made, which never tells a value.
    fn to_value(&self) -> Cow<'a, Value> {
        self.work.step(ERROR_STEPS);
        Cow::Owned(Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.data) as usize))
    }
}

/// The members of an object.
pub(super) struct Members<'a> {
    members: &'a [(Data<'a>, Data<'a>)],
    work: &'a Work,
}

impl<'a> Object<'a, Tree> for Members<'a> {
    type Node = Place<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.members.len()
    }

    fn get(&self, key: &Box<str>) -> Option<Place<'a>> {
        self.work.step(1);
        if self.work.is_spent() {
            return None;
        }
        let found = self.members.binary_search_by(|(name, _)| name.as_str().cmp(&Some(key)));
        found.ok().map(|at| Place::new(&self.members[at].1, self.work))
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter { members: self.members.iter(), work: self.work }
    }

    fn try_for_each_name_node<B>(
        &self,
        _: &mut (Data<'static>, Work),
        mut f: impl FnMut(Place<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for (name, _) in self.members.iter().take_while(|_| !self.work.is_spent()) {
            f(Place::new(name, self.work))?;
        }
        ControlFlow::Continue(())
    }
}

/// The members of an object one by one.
pub(super) struct MembersIter<'a> {
    members: std::slice::Iter<'a, (Data<'a>, Data<'a>)>,
    work: &'a Work,
}

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Place<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.work.step(1);
        if self.work.is_spent() {
            return None;
        }
        let (name, value) = self.members.next()?;
        Some((name.as_str().unwrap_or_default(), Place::new(value, self.work)))
    }
}

/// The items of an array.
pub(super) struct Items<'a> {
    items: &'a [Data<'a>],
    work: &'a Work,
}

impl<'a> Array<'a, Tree> for Items<'a> {
    type Node = Place<'a>;
    type ElementsIter = ItemsIter<'a>;

    fn len(&self) -> usize {
        self.items.len()
    }

    fn elements(&self) -> ItemsIter<'a> {
        ItemsIter { items: self.items.iter(), work: self.work }
    }

    fn is_unique(&self) -> bool {
        let mut forms: Vec<Vec<u8>> = Vec::with_capacity(self.items.len());
        for item in self.items {
            let mut form = Vec::new();
            item.write_canonical(&mut form);
            self.work.step(1 + form.len() / STEP_BYTES);
            if self.work.is_spent() {
                return true;
            }
            forms.push(form);
        }
        forms.sort_unstable();
        forms.windows(2).all(|pair| pair[0] != pair[1])
    }
}

/// The items of an array one by one.
pub(super) struct ItemsIter<'a> {
    items: std::slice::Iter<'a, Data<'a>>,
    work: &'a Work,
}

impl<'a> Iterator for ItemsIter<'a> {
    type Item = Place<'a>;

    fn next(&mut self) -> Option<Place<'a>> {
        self.work.step(1);
        if self.work.is_spent() {
            return None;
        }
        self.items.next().map(|data| Place::new(data, self.work))
    }
}
