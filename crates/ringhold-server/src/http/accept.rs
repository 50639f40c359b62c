//! Which of the media types on offer a client takes (RFC 9110, 12.5.1).
//!
//! The range that fits best decides: the exact type before `type/*` before `*/*`; within that, its
//! `q`. Of what is acceptable the highest `q` wins, and among equals the first on offer, so a client
//! that takes anything is given what the server names first. No header means anything.

/// The media type to answer with; `None` if none on offer is acceptable.
pub(super) fn choose<'a>(accept: Option<&[u8]>, offers: &[&'a str]) -> Option<&'a str> {
    let Some(accept) = accept.filter(|accept| !accept.trim_ascii().is_empty()) else {
        return offers.first().copied();
    };
    let text = String::from_utf8_lossy(accept);
    let ranges: Vec<Range<'_>> = text.split(',').filter_map(Range::parse).collect();
    let mut best: Option<(&'a str, u16)> = None;
    for offer in offers {
        let quality = ranges
            .iter()
            .filter_map(|range| range.fit(offer))
            .max()
            .map_or(0, |fit| fit.1);
        if quality > best.map_or(0, |(_, quality)| quality) {
            best = Some((offer, quality));
        }
    }
    best.map(|(offer, _)| offer)
}

struct Range<'a> {
    media_type: &'a str,
    subtype: &'a str,
    /// Thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (media_type, subtype) = match parts.next()? {
            "*" => ("*", "*"),
            range => range.split_once('/')?,
        };
        let quality =
            parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.map_or(Some(1000), thousandths)?;
        Some(Self {
            media_type,
            subtype,
            quality,
        })
    }

    /// How closely the range fits, then its quality.
    fn fit(&self, offer: &str) -> Option<(u8, u16)> {
        let (media_type, subtype) = offer.split_once('/')?;
        let closeness = match (self.media_type, self.subtype) {
            ("*", "*") => 0,
            (range, "*") if range.eq_ignore_ascii_case(media_type) => 1,
            (range, sub)
                if range.eq_ignore_ascii_case(media_type) && sub.eq_ignore_ascii_case(subtype) =>
            {
                2
            }
            _ => return None,
        };
        Some((closeness, self.quality))
    }
}

/// `0.5` → 500; three decimals at most.
pub(super) fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let padded = format!("{decimals:0<3}");
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if padded.len() != 3 || !digits(whole) || !digits(&padded) {
        return None;
    }
    let value = whole
        .parse::<u16>()
        .ok()?
        .checked_mul(1000)?
        .checked_add(padded.parse().ok()?)?;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        const BOTH: &[&str] = &["text/plain", "multipart/mixed"];
        let rows: [(&str, &[&str], Option<&str>); 16] = [
            ("", BOTH, Some("text/plain")),
            ("*/*", BOTH, Some("text/plain")),
            ("*", BOTH, Some("text/plain")),
            ("text/plain", BOTH, Some("text/plain")),
            ("multipart/mixed", BOTH, Some("multipart/mixed")),
            ("Multipart/*", BOTH, Some("multipart/mixed")),
            (
                "multipart/mixed, application/json, */*;q=0.5",
                BOTH,
                Some("multipart/mixed"),
            ),
            ("*/*;q=0.1, text/plain", BOTH, Some("text/plain")),
            ("application/json", BOTH, None),
            (
                "application/json",
                &["application/json"],
                Some("application/json"),
            ),
            ("text/plain;q=0, */*", BOTH, Some("multipart/mixed")),
            ("*/*;q=0", BOTH, None),
            (
                "text/plain;q=0.2, multipart/mixed;q=0.3",
                BOTH,
                Some("multipart/mixed"),
            ),
            ("nonsense", BOTH, None),
            ("text/plain;q=nonsense", BOTH, None),
            (
                "text/plain;q=1.001, multipart/mixed;q=0.001",
                BOTH,
                Some("multipart/mixed"),
            ),
        ];
        for (accept, offers, want) in rows {
            assert_eq!(choose(Some(accept.as_bytes()), offers), want, "{accept}");
        }
        assert_eq!(choose(None, BOTH), Some("text/plain"));
    }
}
