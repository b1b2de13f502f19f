//! The smallest guest: a function, a default, a record.

/// Greetings.
#[scaler_guest::module]
pub mod greeting {
    /// Somebody to greet.
    pub struct Person {
        /// As they like to be called.
        pub name: String,
        /// In years, if they told us.
        pub age: Option<u32>,
    }

    /// Greets somebody.
    pub fn greet(name: String, #[default("Hello")] word: String) -> String {
        format!("{word}, {name}!")
    }

    /// Greets somebody and counts their birthdays to come until they are a hundred.
    pub fn birthdays(person: Person) -> Result<u32, String> {
        let age = person.age.ok_or_else(|| format!("{} did not say their age", person.name))?;
        100_u32.checked_sub(age).ok_or_else(|| format!("{} is {age} already", person.name))
    }
}

#[cfg(test)]
mod tests {
    use super::greeting::{Person, birthdays, greet};

    #[test]
    fn greets_by_name() {
        assert_eq!(greet("Ada".into(), "Hello".into()), "Hello, Ada!");
    }

    #[test]
    fn counts_only_for_those_who_tell() {
        assert_eq!(birthdays(Person { name: "Ada".into(), age: Some(36) }), Ok(64));
        assert!(birthdays(Person { name: "Bob".into(), age: None }).is_err());
    }
}
