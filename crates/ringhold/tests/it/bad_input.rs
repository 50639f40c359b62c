//! Bad input gets the documented answer and changes nothing.

use crate::cluster::Cluster;

/// Method, path, headers; status and a part of the text that they are answered with.
type Row<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, u16, &'a str);

#[test]
fn refused_requests_say_why_and_change_nothing() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let node = &cluster.members()[0];
    let path = "/buckets/bad/keys/k";
    assert_eq!(node.put(path, &[], b"good").status, 204);
    assert_eq!(
        node.put("/buckets/bad/keys/other", &[], b"good").status,
        204
    );
    let genuine = node.get(path, &[]).context();
    let of_another_key = node.get("/buckets/bad/keys/other", &[]).context();
    let mut forged = genuine.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("ASCII");

    let n3 = "Specified w/dw/pw/node_confirms values invalid for bucket n value of 3";
    let word = "query parameter must be an integer or one of the following words: 'one', 'quorum' or 'all'";
    let vclock = "Invalid X-Riak-Vclock";
    let text = ("Content-Type", "text/plain");
    let long_key = format!("/buckets/bad/keys/{}", "k".repeat(1_025));
    let rows: Vec<Row<'_>> = vec![
        ("GET", "/buckets/bad/keys/k?r=abc", vec![], 400, word),
        ("GET", "/buckets/bad/keys/k?r=5", vec![], 400, n3),
        ("PUT", "/buckets/bad/keys/k?w=5", vec![text], 400, n3),
        ("PUT", "/buckets/bad/keys/k?pw=many", vec![text], 400, word),
        (
            "GET",
            "/buckets/bad/keys/k?timeout=abc",
            vec![],
            400,
            "Bad timeout value \"abc\"",
        ),
        (
            "GET",
            "/buckets/bad/keys/k?basic_quorum=abc",
            vec![],
            400,
            "basic_quorum query parameter must be true or false",
        ),
        (
            "PUT",
            path,
            vec![text, ("X-Riak-Vclock", "!!not a context!!")],
            400,
            vclock,
        ),
        (
            "PUT",
            path,
            vec![text, ("X-Riak-Vclock", &forged)],
            400,
            vclock,
        ),
        (
            "PUT",
            path,
            vec![text, ("X-Riak-Vclock", &of_another_key)],
            400,
            vclock,
        ),
        (
            "DELETE",
            path,
            vec![("X-Riak-Vclock", &of_another_key)],
            400,
            vclock,
        ),
        (
            "PUT",
            path,
            vec![],
            400,
            "Missing Content-Type request header",
        ),
        (
            "PUT",
            path,
            vec![("Content-Type", "notamime")],
            415,
            "\"notamime\" is not a valid media type",
        ),
        (
            "GET",
            "/types/nosuch/buckets/bad/keys/k",
            vec![],
            404,
            "Unknown bucket type: nosuch",
        ),
        (
            "PUT",
            "/types/nosuch/buckets/bad/keys/k",
            vec![text],
            404,
            "Unknown bucket type: nosuch",
        ),
        ("PUT", &long_key, vec![text], 400, ""),
        ("PATCH", path, vec![], 501, ""),
        ("POST", "/stats", vec![text], 405, ""),
        ("GET", "/nosuch", vec![], 404, ""),
    ];
    for (method, path, headers, status, fragment) in rows {
        let answer = node
            .try_send(method, path, &headers, b"bad")
            .expect("the node answers");
        assert_eq!(
            answer.status, status,
            "{method} {path} {headers:?}: {answer:?}"
        );
        assert!(
            answer.body.contains(fragment),
            "{method} {path}: {answer:?}"
        );
    }
    let too_large = vec![b'x'; (5 << 20) + 1];
    let answer = node.put(path, &[], &too_large);
    assert_eq!(answer.status, 413, "{}", answer.body);

    let answer = node.get(path, &[]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "good"));
    assert_eq!(answer.context(), genuine, "nothing has changed");
}
