//! An object whose fields are read one by one, noting what is wrong instead of stopping at it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use super::{DUPLICATE, Detail, check_depth, escape_into, members, split_array, syntax};
use crate::fault::{Fault, MAX_FAULTS, ParseError};

/// An object that is being read. What is wrong with it collects until [`Object::finish`].
///
/// `null` counts as absent, as it would be after a merge patch.
#[derive(Debug)]
pub struct Object<'a> {
    pointer: String,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Object<'a> {
    /// Begins to read a document.
    ///
    /// # Errors
    /// [`ParseError::Syntax`] for what is not JSON or nests too deep, one fault for what is not an object.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        check_depth(text)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|e| syntax(text, &e))?;
        if !raw.get().starts_with('{') {
            return Err(ParseError::fault("", "must be a JSON object"));
        }
        Self::open(raw, String::new()).map_err(|detail| ParseError::Syntax(detail.into_owned()))
    }

    fn open(raw: &'a RawValue, pointer: String) -> Result<Self, Detail> {
        if !raw.get().starts_with('{') {
            return Err("must be an object".into());
        }
        let members = members(raw.get())
            .map_err(|_| "has a field whose name is not a valid string (an unpaired surrogate)")?;
        let mut object = Self { pointer, members: Vec::new(), known: Vec::new(), faults: Vec::new() };
        let (mut seen, mut doubled) = (BTreeSet::new(), Vec::new());
        for (n, (name, _)) in members.iter().enumerate() {
            if !seen.insert(&*name.0) {
                doubled.push(n);
            }
        }
        for n in doubled {
            object.fault(&members[n].0.0, DUPLICATE);
        }
        object.members = members.into_iter().map(|(name, value)| (name.0, value)).collect();
        Ok(object)
    }

    /// Notes a fault of one field.
    pub fn fault(&mut self, name: &str, detail: impl Into<Detail>) {
        let mut pointer = self.pointer.clone();
        escape_into(&mut pointer, name);
        self.push(Fault::new(pointer, detail));
    }

    /// Notes what is wrong inside of one field, by pointers that begin at its value.
    pub fn faults_below(&mut self, name: &str, faults: Vec<Fault>) {
        let mut pointer = self.pointer.clone();
        escape_into(&mut pointer, name);
        for fault in faults {
            self.push(Fault::new(format!("{pointer}{}", fault.pointer), fault.detail));
        }
    }

    fn push(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// The value of a field, which is known from now on; `null` is none.
    fn take(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.find(name).filter(|v| v.get() != "null")
    }

    fn find(&mut self, name: &'static str) -> Option<&'a RawValue> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.members.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// Reads a field that must be there. `None` leads to a fault, so that other fields are still read.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<T> {
        let Some(value) = self.take(name) else {
            self.fault(name, "is missing");
            return None;
        };
        self.noting(name, read(value))
    }

    /// Reads a field, if it is there, of which every value counts, `null` too.
    pub fn optional_raw(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.find(name)
    }

    /// Reads a field that must be there, of which every value counts, `null` too.
    pub fn required_raw(&mut self, name: &'static str) -> Option<&'a RawValue> {
        let found = self.find(name);
        if found.is_none() {
            self.fault(name, "is missing");
        }
        found
    }

    /// Reads a field if it is there.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<T> {
        let value = self.take(name)?;
        self.noting(name, read(value))
    }

    fn noting<T>(&mut self, name: &str, result: Result<T, Detail>) -> Option<T> {
        result.map_err(|detail| self.fault(name, detail)).ok()
    }

    /// Reads an object inside, if it is there.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Object<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let mut inner = self.open_inner(name, value)?;
        let result = read(&mut inner);
        for fault in inner.finish() {
            self.push(fault);
        }
        result
    }

    fn open_inner(&mut self, name: &str, value: &'a RawValue) -> Option<Object<'a>> {
        let mut pointer = self.pointer.clone();
        escape_into(&mut pointer, name);
        let opened = Object::open(value, pointer);
        self.noting(name, opened)
    }

    /// Whether a field is there, and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(n, value)| n == name && value.get() != "null")
    }

    /// Reads an array of at most `max` items, if it is there; a bad item is a fault at its index.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        max: usize,
        read: impl FnMut(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<Vec<T>> {
        let value = self.take(name)?;
        self.items(name, value, 0..=max, read)
    }

    /// Reads an array that must be there, with as many items as `count` allows.
    pub fn required_list<T>(
        &mut self,
        name: &'static str,
        count: RangeInclusive<usize>,
        read: impl FnMut(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<Vec<T>> {
        let value = self.required(name, Ok)?;
        self.items(name, value, count, read)
    }

    fn items<T>(
        &mut self,
        name: &str,
        value: &'a RawValue,
        count: RangeInclusive<usize>,
        mut read: impl FnMut(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<Vec<T>> {
        let (min, max) = count.into_inner();
        let split = match split_array(value.get(), max) {
            Ok(Some(items)) if items.len() < min => Err(format!("must have {min} to {max} items").into()),
            Ok(Some(items)) => Ok(items),
            Ok(None) => Err(format!("has more than {max} items; {max} are allowed").into()),
            Err(_) => Err(Detail::from("must be an array")),
        };
        let items = self.noting(name, split)?;
        let mut pointer = self.pointer.clone();
        escape_into(&mut pointer, name);
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            match read(item) {
                Ok(item) => out.push(item),
                Err(detail) => self.push(Fault::new(format!("{pointer}/{i}"), detail)),
            }
        }
        Some(out)
    }

    /// Reads an array of at most `max` objects, if it is there. Faults inside an object come at its index.
    pub fn objects<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Object<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut pointer = self.pointer.clone();
        escape_into(&mut pointer, name);
        let items = self.list(name, max, Ok)?;
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            let pointer = format!("{pointer}/{i}");
            match Object::open(item, pointer.clone()) {
                Ok(mut inner) => {
                    out.extend(read(&mut inner));
                    inner.finish().into_iter().for_each(|fault| self.push(fault));
                }
                Err(detail) => self.push(Fault::new(pointer, detail)),
            }
        }
        Some(out)
    }

    /// Reads an object whose names are free, of at most `max` members, if it is there.
    pub fn map<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&str, &'a RawValue) -> Result<T, Detail>,
    ) -> Option<Vec<T>> {
        let value = self.take(name)?;
        let mut inner = self.open_inner(name, value)?;
        if inner.members.len() > max {
            self.fault(name, format!("has more than {max} members; {max} are allowed"));
            return None;
        }
        let mut out = Vec::with_capacity(inner.members.len());
        for (name, value) in std::mem::take(&mut inner.members) {
            match read(&name, value) {
                Ok(member) => out.push(member),
                Err(detail) => inner.fault(&name, detail),
            }
        }
        for fault in inner.faults {
            self.push(fault);
        }
        Some(out)
    }

    /// Reads an object whose names are free, of at most `max` objects, if it is there.
    pub fn named_objects<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&str, &mut Object<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut pointer = self.pointer.clone();
        escape_into(&mut pointer, name);
        let members = self.map(name, max, |name, value| Ok((name.to_owned(), value)))?;
        let mut out = Vec::with_capacity(members.len());
        for (name, value) in members {
            let mut pointer = pointer.clone();
            escape_into(&mut pointer, &name);
            match Object::open(value, pointer.clone()) {
                Ok(mut inner) => {
                    out.extend(read(&name, &mut inner));
                    inner.finish().into_iter().for_each(|fault| self.push(fault));
                }
                Err(detail) => self.push(Fault::new(pointer, detail)),
            }
        }
        Some(out)
    }

    /// All faults, those of unknown fields last; empty for a good object.
    pub fn finish(mut self) -> Vec<Fault> {
        let unknown: Vec<Cow<'a, str>> = std::mem::take(&mut self.members)
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !self.known.contains(&&**name))
            .take(MAX_FAULTS)
            .collect();
        for name in unknown {
            let detail = format!("is not a known field; known are {}", self.known.join(", "));
            self.fault(&name, detail);
        }
        self.faults
    }

    /// The value that was read, or the faults that prevented it.
    ///
    /// # Errors
    /// The faults, if there are any.
    pub fn end<T>(self, value: Option<T>) -> Result<T, ParseError> {
        let faults = self.finish();
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ if faults.is_empty() => Err(ParseError::fault("", "is not complete")),
            _ => Err(ParseError::Faults(faults)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{MAX_ECHO, integer, string};

    fn pointers(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|f| f.pointer.as_str()).collect()
    }

    #[test]
    fn abuse_a02_all_faults_come_at_once_with_escaped_pointers() {
        let text =
            r#"{"n":true,"list":[1,"x",3],"map":{"a/b":1,"c":"d","c":"d"},"in":{"what":1},"a~b":0,"n":2}"#;
        let mut object = Object::parse(text).unwrap();
        object.optional("n", |v| integer(v, 1..=9));
        object.list("list", 9, |v| integer(v, 1..=2));
        object.map("map", 9, |_, v| string(v));
        object.object("in", |inner| inner.required("url", string));
        object.required("missing", string);
        let faults = object.finish();
        assert_eq!(
            pointers(&faults),
            [
                "/n",
                "/n",
                "/list/1",
                "/list/2",
                "/map/c",
                "/map/a~1b",
                "/in/url",
                "/in/what",
                "/missing",
                "/a~0b"
            ]
        );
        assert!(faults[9].detail.contains("n, list, map, in, missing"), "{}", faults[9].detail);
    }

    #[test]
    fn abuse_a12_a_long_name_is_not_echoed_whole_and_faults_are_bounded() {
        let text = format!("{{{:?}:1}}", "é".repeat(1_000_000));
        let faults = Object::parse(&text).unwrap().finish();
        assert!(faults[0].pointer.len() < 2 * MAX_ECHO);
        let many: Vec<String> = (0..1_000).map(|n| format!("\"f{n}\":1")).collect();
        let text = format!("{{{}}}", many.join(","));
        assert_eq!(Object::parse(&text).unwrap().finish().len(), MAX_FAULTS);
    }
}
