//! As much of the wire format of protocol buffers as a span needs. Refuses to know what the fields mean.

/// A field: its number, and its value.
pub struct Field<'b> {
    pub number: u64,
    pub value: Value<'b>,
}

pub enum Value<'b> {
    /// A varint, or eight bytes.
    Number(u64),
    Bytes(&'b [u8]),
}

impl<'b> Field<'b> {
    pub fn bytes(&self) -> &'b [u8] {
        let Value::Bytes(bytes) = self.value else { panic!("field {} is a number", self.number) };
        bytes
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    pub fn number(&self) -> u64 {
        let Value::Number(number) = self.value else { panic!("field {} is no number", self.number) };
        number
    }
}

/// The fields of a message, in their order.
pub fn fields(mut message: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut message)),
            1 => Value::Number(u64::from_le_bytes(take(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut message).try_into().unwrap();
                Value::Bytes(take(&mut message, length))
            }
            5 => Value::Number(u64::from(u32::from_le_bytes(take(&mut message, 4).try_into().unwrap()))),
            other => panic!("wire type {other}"),
        };
        fields.push(Field { number: key >> 3, value });
    }
    fields
}

/// The messages in the fields of this number.
pub fn each(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).into_iter().filter(move |field| field.number == number).map(|field| field.bytes())
}

fn varint(from: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(from, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a varint without an end")
}

fn take<'b>(from: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = from.split_at(count);
    *from = rest;
    taken
}
