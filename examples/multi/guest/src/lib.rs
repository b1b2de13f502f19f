//! A small café: two modules of one crate that share their types.

/// What there is to drink.
#[scaler_guest::module]
pub mod menu {
    /// How much of it.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub enum Size {
        Small,
        Large,
    }

    /// What goes with it; any of them together.
    #[flags]
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Extras {
        pub milk: bool,
        pub sugar: bool,
        pub whipped_cream: bool,
    }

    /// A drink on the menu.
    #[derive(Clone, Debug)]
    pub struct Offer {
        pub name: String,
        /// Of a small one, without extras.
        pub price_cents: u32,
        /// What can go with it.
        pub extras: Extras,
        /// How many are left; none if there is no end of it.
        pub left: Option<u32>,
    }

    /// A drink as somebody wants it.
    #[derive(Clone, Debug)]
    pub struct Drink {
        pub name: String,
        pub size: Size,
        pub extras: Extras,
    }

    /// All that there is.
    pub fn offers() -> Vec<Offer> {
        let all = Extras { milk: true, sugar: true, whipped_cream: true };
        let offer = |name: &str, price_cents, extras, left| Offer { name: name.to_owned(), price_cents, extras, left };
        vec![
            offer("coffee", 250, Extras { whipped_cream: false, ..all }, None),
            offer("chocolate", 320, all, Some(2)),
            offer("water", 100, Extras { milk: false, sugar: false, whipped_cream: false }, None),
        ]
    }

    /// What a drink costs, as a bare number.
    pub fn price_cents(drink: Drink) -> Result<u32, String> {
        let offers = offers();
        let offer = offers.iter().find(|offer| offer.name == drink.name);
        let offer = offer.ok_or_else(|| format!("there is no {} on the menu", drink.name))?;
        let Extras { milk, whipped_cream, .. } = drink.extras;
        let of_size = if drink.size == Size::Large { offer.price_cents * 3 / 2 } else { offer.price_cents };
        Ok(of_size + 30 * u32::from(milk) + 60 * u32::from(whipped_cream))
    }
}

/// Orders.
#[scaler_guest::module]
pub mod orders {
    use super::menu::{self, Drink, Extras};

    /// How it is paid.
    #[derive(Clone, Debug)]
    pub enum Payment {
        Cash,
        /// The last digits of its number.
        Card(String),
        /// Cents that it is worth, and whether the rest is given as a tip.
        Voucher(u32, bool),
    }

    /// What the till prints.
    #[derive(Clone, Debug)]
    pub struct Receipt {
        pub total_cents: u32,
        /// One for each drink.
        pub lines: Vec<Line>,
        pub tip_cents: Option<u32>,
        pub note: Option<String>,
    }

    /// A line of a receipt.
    #[derive(Clone, Debug)]
    pub struct Line {
        pub drink: Drink,
        pub cents: u32,
    }

    /// A limit that was met.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Limit {
        pub asked: u32,
        pub at_most: u32,
    }

    /// Why there is nothing to drink.
    #[derive(Clone, Debug, PartialEq)]
    pub enum Refusal {
        NothingOrdered,
        NotOnTheMenu(String),
        /// The drink does not come with all of these.
        DoesNotGoWith(String, Extras),
        SoldOut(Limit),
        VoucherTooSmall(Limit),
    }

    /// Takes an order.
    pub fn order(drinks: Vec<Drink>, payment: Payment, note: Option<String>) -> Result<Receipt, Refusal> {
        let offers = menu::offers();
        let mut lines = Vec::new();
        for drink in &drinks {
            let Some(offer) = offers.iter().find(|offer| offer.name == drink.name) else {
                return Err(Refusal::NotOnTheMenu(drink.name.clone()));
            };
            let asked = drinks.iter().filter(|other| other.name == drink.name).count() as u32;
            if let Some(at_most) = offer.left.filter(|left| asked > *left) {
                return Err(Refusal::SoldOut(Limit { asked, at_most }));
            }
            let wrong = Extras {
                milk: drink.extras.milk && !offer.extras.milk,
                sugar: drink.extras.sugar && !offer.extras.sugar,
                whipped_cream: drink.extras.whipped_cream && !offer.extras.whipped_cream,
            };
            if wrong.milk || wrong.sugar || wrong.whipped_cream {
                return Err(Refusal::DoesNotGoWith(drink.name.clone(), wrong));
            }
            let cents = menu::price_cents(drink.clone()).map_err(Refusal::NotOnTheMenu)?;
            lines.push(Line { drink: drink.clone(), cents });
        }
        let total_cents = lines.iter().map(|line| line.cents).sum();
        if lines.is_empty() {
            return Err(Refusal::NothingOrdered);
        }
        let tip_cents = match payment {
            Payment::Voucher(worth, _) if worth < total_cents => {
                return Err(Refusal::VoucherTooSmall(Limit { asked: total_cents, at_most: worth }));
            }
            Payment::Voucher(worth, true) => Some(worth - total_cents),
            Payment::Voucher(..) | Payment::Cash | Payment::Card(_) => None,
        };
        Ok(Receipt { total_cents, lines, tip_cents, note })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        menu::{Drink, Extras, Size},
        orders::{Limit, Payment, Refusal, order},
    };

    #[test]
    fn orders_are_plain_calls() {
        let extras = Extras { milk: true, sugar: false, whipped_cream: false };
        let coffee = Drink { name: "coffee".into(), size: Size::Large, extras };
        let receipt = order(vec![coffee.clone()], Payment::Voucher(500, true), None).unwrap();
        assert_eq!((receipt.total_cents, receipt.tip_cents), (405, Some(95)));
        let refused = order(vec![coffee], Payment::Voucher(100, false), None).unwrap_err();
        assert_eq!(refused, Refusal::VoucherTooSmall(Limit { asked: 405, at_most: 100 }));
    }
}
