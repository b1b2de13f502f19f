//! Settings whose values are a few words.

/// Declares an enumeration whose values are words of the configuration, in any case.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All words, in order.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word in files and on the command line.
            #[must_use]
            pub fn word(self) -> &'static str { match self { $(Self::$variant => $word,)* } }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::config::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $(if text.eq_ignore_ascii_case($word) { return Ok(Self::$variant); })*
                Err($crate::config::UnknownWord { text: text.to_owned(), known: Self::WORDS })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.word()) }
        }
    };
}
pub(super) use words;
