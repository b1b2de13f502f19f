//! Two modules of one component, called with Rust types: structs are records, enums are variants, lists of names are
//! flags, and what a function refuses comes back as a value of its own type.

use scaler_client::{Error, SchedulerClusterCombo, blocking::Client};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Size {
    Small,
    Large,
}

/// Flags cross as the names of those that are set.
type Extras = Vec<String>;

#[derive(Debug, Deserialize)]
struct Offer {
    name: String,
    price_cents: u32,
    extras: Extras,
    left: Option<u32>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Drink {
    name: String,
    size: Size,
    extras: Extras,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Payment {
    Cash,
    Card(String),
    Voucher(u32, bool),
}

#[derive(Debug, Deserialize)]
struct Receipt {
    total_cents: u32,
    lines: Vec<Line>,
    tip_cents: Option<u32>,
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Line {
    drink: Drink,
    cents: u32,
}

#[derive(Debug, Deserialize)]
struct Limit {
    asked: u32,
    at_most: u32,
}

/// The error type of `multi.orders:order`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Refusal {
    NothingOrdered,
    NotOnTheMenu(String),
    DoesNotGoWith(String, Extras),
    SoldOut(Limit),
    VoucherTooSmall(Limit),
}

fn drink(name: &str, size: Size, extras: &[&str]) -> Drink {
    Drink { name: name.to_owned(), size, extras: extras.iter().map(|&name| name.to_owned()).collect() }
}

fn main() -> anyhow::Result<()> {
    // Without an address: servers of our own, which end with `combo`.
    let combo;
    let address = match std::env::args().nth(1) {
        Some(address) => address,
        None => {
            combo = SchedulerClusterCombo::start(2)?;
            combo.address().to_owned()
        }
    };
    let client = Client::connect(&address)?;

    println!("the menu:");
    for offer in client.call("multi.menu:offers()")?.result::<Vec<Offer>>()? {
        let left = offer.left.map_or("plenty".to_owned(), |left| format!("{left} left"));
        println!("  {:<10} {:>4} cents, {left}, with {:?}", offer.name, offer.price_cents, offer.extras);
    }
    // The same record type, in the other module of the crate.
    let coffee = drink("coffee", Size::Large, &["milk", "sugar"]);
    let price: u32 = client.submit(&client.function("multi.menu:price_cents")?, (&coffee,))?.result()?;
    println!("a large coffee with milk and sugar: {price} cents");

    let chocolate = drink("chocolate", Size::Small, &["whipped_cream"]);
    let orders = [
        (vec![coffee.clone(), chocolate.clone()], Payment::Voucher(1_000, true), Some("by the window")),
        (vec![coffee.clone()], Payment::Card("0815".to_owned()), None),
        (vec![], Payment::Cash, None),
        (vec![drink("tea", Size::Small, &[])], Payment::Cash, None),
        (vec![drink("water", Size::Large, &["milk", "sugar"])], Payment::Cash, None),
        (vec![chocolate.clone(), chocolate.clone(), chocolate], Payment::Cash, None),
        (vec![coffee], Payment::Voucher(10, false), None),
    ];
    let order = client.function("multi.orders:order")?;
    for (drinks, payment, note) in orders {
        match client.submit(&order, (&drinks, &payment, note))?.result::<Receipt>() {
            Ok(receipt) => {
                let names: Vec<String> =
                    receipt.lines.iter().map(|line| format!("{} {}", line.drink.name, line.cents)).collect();
                let (tip, note) =
                    (receipt.tip_cents.unwrap_or(0), receipt.note.map_or(String::new(), |note| format!(", {note}")));
                println!("served: {} = {} cents, tip {tip}{note}", names.join(" + "), receipt.total_cents);
            }
            Err(error) => println!("refused: {}", explain(refusal(error)?)),
        }
    }
    client.disconnect();
    Ok(())
}

/// The guest's own error; anything else that went wrong stays an error.
fn refusal(error: Error) -> anyhow::Result<Refusal> {
    match error.task().and_then(|task| task.value_as()) {
        Some(refusal) => Ok(refusal?),
        None => Err(error.into()),
    }
}

fn explain(refusal: Refusal) -> String {
    match refusal {
        Refusal::NothingOrdered => "nothing was ordered".to_owned(),
        Refusal::NotOnTheMenu(name) => format!("there is no {name}"),
        Refusal::DoesNotGoWith(name, extras) => format!("{name} does not go with {}", extras.join(", ")),
        Refusal::SoldOut(Limit { asked, at_most }) => format!("{asked} were asked for, {at_most} are left"),
        Refusal::VoucherTooSmall(Limit { asked, at_most }) => format!("{asked} cents for a voucher of {at_most}"),
    }
}
