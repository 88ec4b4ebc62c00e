use rustls::crypto::aws_lc_rs;

/// Bytes nobody can guess.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let random = aws_lc_rs::default_provider().secure_random;
    random
        .fill(&mut bytes)
        .expect("the operating system has random bytes");
    bytes
}

/// Hexadecimal digits, two for each byte.
pub(crate) fn hex<const N: usize>() -> String {
    bytes::<N>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
