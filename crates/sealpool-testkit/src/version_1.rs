use rcgen::SigningKey;

/// Makes an X.509 version 1 certificate out of a version 3 one: the version and the extensions go, and the key signs
/// anew. This is what old recipes with `openssl x509 -req` make.
pub(crate) fn stripped(certificate: &[u8], key: &impl SigningKey) -> Option<Vec<u8>> {
    const VERSION: u8 = 0xa0;
    const EXTENSIONS: u8 = 0xa3;
    let (whole, _) = element(certificate)?;
    let (signed, rest) = element(whole.content)?;
    let (algorithm, _) = element(rest)?;
    let mut fields = Vec::new();
    let mut left = signed.content;
    while let Some((field, rest)) = element(left) {
        if field.tag != VERSION && field.tag != EXTENSIONS {
            fields.extend_from_slice(field.bytes);
        }
        left = rest;
    }
    let signed = encoded(SEQUENCE, &fields);
    // The first byte of a bit string counts its unused bits.
    let signature = [vec![0], key.sign(&signed).ok()?].concat();
    let signature = encoded(BIT_STRING, &signature);
    Some(encoded(
        SEQUENCE,
        &[&signed, algorithm.bytes, &signature].concat(),
    ))
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

struct Element<'a> {
    tag: u8,
    bytes: &'a [u8],
    content: &'a [u8],
}

fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (digits, short) = match first {
        0x80.. => (usize::from(first & 0x7f), None),
        length => (0, Some(usize::from(length))),
    };
    let (long, rest) = rest.split_at_checked(digits)?;
    let long = long
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (content, rest) = rest.split_at_checked(short.unwrap_or(long))?;
    let bytes = der.get(..der.len() - rest.len())?;
    Some((
        Element {
            tag,
            bytes,
            content,
        },
        rest,
    ))
}

fn encoded(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = length.iter().skip_while(|byte| **byte == 0);
    let significant: Vec<u8> = significant.copied().collect();
    let mut der = vec![tag];
    match (u8::try_from(content.len()), u8::try_from(significant.len())) {
        (Ok(length @ ..0x80), _) => der.push(length),
        (_, Ok(digits)) => {
            der.push(0x80 | digits);
            der.extend(significant);
        }
        _ => unreachable!("a length has eight bytes at most"),
    }
    der.extend_from_slice(content);
    der
}
