//! Where the fuzzer begins: one input that each reader takes, and some that it refuses late.

/// File name and content of each seed.
pub const SEEDS: &[(&str, &[u8])] = &[
    ("token-unsigned", b"\x00eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."),
    ("token-wrong-signature", b"\x00eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ("token-header-with-crit", b"\x00eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdfQ.e30.AA"),
    ("claims-plain", b"\x01{\"sub\":\"alice\",\"exp\":1800000100,\"nbf\":1700000000}"),
    ("claims-permissions", b"\x01{\"sub\":\"alice\",\"exp\":1800000100,\"publish\":[\"a/#\"],\"subscribe\":[\"%c/+\"],\"client_id\":\"c\"}"),
    ("claims-audience-list", b"\x01{\"sub\":\"alice\",\"aud\":[\"a\",\"b\"],\"iss\":\"i\",\"exp\":1e300}"),
    ("claims-negative", b"\x01{\"sub\":\"\",\"exp\":-1,\"nbf\":99999999999999999999,\"iat\":0.5}"),
    ("claims-nested", b"\x01[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]"),
    ("scram-client", b"\x02n,,n=user,r=nonce\nc=biws,r=nonce,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ("scram-authorization-id", b"\x02n,a=other,n=us=2Cer,r=nonce"),
    ("scram-channel-binding", b"\x02p=tls-unique,,n=user,r=nonce"),
    ("scram-server", b"\x02r=AwMDAwMDAwMDAwMDAwMDAwMDnonce,s=QSXCR+Q6sek8bf92,i=4096\nv=AAAA"),
    ("certificate-cut", b"\x03\x30\x82\x01\x0A\x30\x81\xB4\xA0\x03\x02\x01\x02\x02\x01\x01"),
    ("crl-cut", b"\x03-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n"),
    ("users", b"\x04[[user]]\nname = \"alice\"\npassword = \"$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n"),
    ("users-huge-cost", b"\x04[[user]]\nname = \"alice\"\npassword = \"$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAAAAAAAAAAAAAAAAAAAA$AAAA\"\n"),
    ("rules", b"\x05[[rule]]\nwho = \"everyone\"\npublish = [\"%u/%c/#\", \"a/+\"]\ndeny_publish = [\"a/b/#\"]\n[[rule]]\nusers = [\"al*\"]\nsubscribe = [\"#\"]\nretain = []\n"),
    ("keys-jwks", b"\x06{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}"),
    ("keys-pem", b"\x06-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"),
    ("http-basic", b"\x07Basic dXNlcjpwYXNz"),
    ("http-bearer", b"\x07bearer a.b.c"),
];
