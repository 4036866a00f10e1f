//! Where the fuzzer begins: scripts (see `check/script.rs`) that each reach one part of the core.

/// File name and content of each seed.
pub const SEEDS: &[(&str, &[u8])] = &[
    ("connect-raw-311", b"\0\x01\0\x10\x10\x0E\0\x04MQTT\x04\x02\0\0\0\x02ab\0\x02\xC0\0"),
    ("connect-cut", b"\0\x01\0\x05\x10\x0E\0\x04M\0\x0BQTT\x04\x02\0\0\0\x02ab\0\x01\xC0\0\x01\0"),
    ("publish-before-connect", b"\0\x01\0\x05\x30\x03\0\x01a"),
    // Two clients; one subscribes to #, the other publishes with each QoS; acknowledgements.
    (
        "pair",
        &[
            0, 7, 0, 2, 7, 0x17, 1, 2, 7, 9, 6, 0, 1, 2, 1, 2, 0x19, 0, 0, 0, 0, 2, 0x19, 0, 1, 1, 8, 2, 0x19, 0, 2, 2,
            16, 2, 6, 0, 6, 0, 6, 0, 0x16, 0,
        ],
    ),
    // A session that lasts, fills while its client is away, and resumes with a window of one.
    (
        "resume",
        &[
            0, 7, 0, 0x20, 7, 9, 6, 0, 1, 1, 1, 2, 2, 0x17, 1, 2, 7, 0x19, 0, 0, 1, 0, 2, 0x19, 0, 1, 1, 8, 2, 0x19, 0,
            2, 1, 16, 2, 0x19, 0, 1, 1, 24, 4, 7, 0, 0x20, 1, 6, 0, 6, 0,
        ],
    ),
    ("take-over", &[0, 7, 0, 0x28, 0xE3, 1, 0x17, 0, 0x20, 7, 0x27, 0, 0x22, 7, 3, 100]),
    (
        "retained",
        &[
            0, 7, 0, 2, 7, 9, 0, 0, 0, 1, 2, 9, 0, 1, 0, 1, 2, 9, 0, 2, 0, 5, 3, 9, 6, 0x80, 1, 1, 0, 0, 3, 30, 9, 6,
            0, 1, 1, 0, 0,
        ],
    ),
    ("will-delayed", &[0, 7, 0, 0x2A, 0x60, 1, 0x17, 1, 2, 7, 0x19, 6, 0, 1, 1, 0, 0, 2, 3, 50, 3, 50]),
    (
        "queue-overflow-disconnects",
        &[
            1, 7, 0, 0x20, 7, 9, 6, 0, 1, 1, 0, 0, 2, 0x17, 1, 2, 7, 0x19, 0, 0, 1, 0, 4, 0x19, 0, 0, 1, 8, 4, 0x19, 0,
            0, 1, 16, 4, 0x19, 0, 0, 1, 24, 4, 0x19, 0, 0, 1, 32, 4, 0x19, 0, 0, 1, 40, 4,
        ],
    ),
    (
        "shared-group",
        &[
            0, 7, 0, 2, 7, 9, 6, 0, 5, 1, 0, 0, 0x17, 1, 2, 7, 0x19, 6, 0, 5, 1, 0, 0, 0x27, 2, 2, 7, 0x29, 0, 0, 1, 0,
            2, 0x29, 0, 0, 1, 8, 2, 2, 0x29, 0, 0, 1, 16, 2,
        ],
    ),
    (
        "consumer",
        &[0, 5, 3, 5, 0, 1, 1, 7, 1, 2, 7, 9, 0, 0, 1, 0, 2, 9, 0, 1, 2, 8, 2, 5, 3, 5, 3, 5, 6, 0, 1, 3, 2, 5, 7],
    ),
    (
        "congested",
        &[0, 7, 0, 2, 7, 9, 6, 0, 1, 1, 0, 0, 4, 0, 0x17, 1, 2, 7, 0x19, 0, 0, 0, 0, 2, 0x19, 0, 0, 1, 0, 2, 4, 1],
    ),
    ("keep-alive", &[2, 7, 0, 4, 0x10, 3, 20, 9, 9, 1, 3, 40, 3, 60]),
    (
        "aliases",
        &[
            0x80, 7, 0, 2, 0xC7, 9, 6, 0, 1, 0, 0, 0, 9, 0, 1, 0, 2, 2, 9, 0, 1, 0, 10, 2, 9, 0, 1, 0, 10, 3, 9, 0, 1,
            0, 0xCA, 2,
        ],
    ),
    // A user whose credentials end, rules that forbid, and a re-authentication.
    ("credentials-end", &[0, 7, 0, 2 | 4, 0x50, 9, 6, 0, 1, 1, 0, 0, 3, 20, 3, 20, 3, 20]),
    (
        "rules-forbid",
        &[
            0, 7, 0, 0x20, 7, 9, 6, 0, 1, 1, 0, 0, 0x17, 1, 0x2A, 0xE7, 1, 0x19, 0, 0, 1, 0, 2, 2, 0x85, 0x34, 3, 1, 3,
            1, 0x85, 2, 3, 1,
        ],
    ),
    ("re-authentication", &[0, 7, 0, 2, 0x1B, 9, 9, 1, 0x85, 1, 9, 9, 5, 0x85, 0x0D, 9, 9, 1, 0x85, 3]),
    (
        "memory-short",
        &[
            8, 7, 0, 0x20, 7, 9, 6, 0, 1, 1, 0, 0, 2, 0x17, 1, 2, 7, 0x19, 0, 0, 1, 1, 5, 0x19, 0, 1, 1, 9, 5, 0x19, 0,
            2, 1, 17, 5, 0x19, 0, 7, 1, 25, 5,
        ],
    ),
    // A consumer of the node whose queue runs over under the rule that disconnects.
    (
        "consumer-overflow",
        &[
            1, 5, 0, 5, 0, 1, 1, 7, 1, 2, 7, 9, 0, 0, 1, 0, 2, 9, 0, 0, 1, 8, 2, 9, 0, 0, 1, 16, 2, 9, 0, 0, 1, 24, 2,
            9, 0, 0, 1, 32, 2, 9, 0, 0, 1, 40, 2, 9, 0, 0, 1, 48, 2, 9, 0, 0, 1, 56, 2,
        ],
    ),
];
