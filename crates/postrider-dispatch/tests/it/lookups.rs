//! The real resolver against a name server of the test's own, on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use postrider_dispatch::resolve::ResolveError;
use postrider_dispatch::{HickoryResolver, Resolve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use crate::support::ip;

type Asked = Arc<Mutex<Vec<String>>>;

/// A name server: `answer` gets the name (with its trailing dot) and type, and fills in the response.
/// What does not fit into a datagram is told by TCP.
async fn name_server(answer: fn(&str, RecordType, &mut Message)) -> (HickoryResolver, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).await.unwrap();
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let reply = move |packet: &[u8]| {
        let query = Message::from_vec(packet).unwrap();
        let question = query.queries[0].clone();
        let name = question.name().to_string();
        noted.lock().unwrap().push(format!("{name} {}", question.query_type()));
        let mut response = Message::response(query.metadata.id, OpCode::Query);
        response.metadata.recursion_desired = true;
        response.metadata.recursion_available = true;
        response.add_query(question.clone());
        answer(&name, question.query_type(), &mut response);
        response
    };
    let by_tcp = reply.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Ok(length) = stream.read_u16().await {
                let mut packet = vec![0; usize::from(length)];
                stream.read_exact(&mut packet).await.unwrap();
                let response = by_tcp(&packet).to_vec().unwrap();
                stream.write_u16(u16::try_from(response.len()).unwrap()).await.unwrap();
                stream.write_all(&response).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        let mut packet = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let response = reply(&packet[..length]);
            let mut datagram = response.to_vec().unwrap();
            if datagram.len() > 1_200 {
                datagram = response.truncate().to_vec().unwrap();
            }
            socket.send_to(&datagram, from).await.unwrap();
        }
    });
    (HickoryResolver::from_addresses(&[address]).unwrap(), asked)
}

fn a(name: &str, ttl: u32, address: [u8; 4]) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), ttl, RData::A(A(Ipv4Addr::from(address))))
}

#[tokio::test]
async fn abuse_a86_look_ups_are_absolute_and_remembered_for_a_second_at_least() {
    let (resolver, asked) = name_server(|name, kind, response| {
        if kind == RecordType::A {
            response.add_answer(a(name, 0, [93, 184, 216, 34]));
        }
    })
    .await;
    let first = resolver.resolve("example.com").await.unwrap();
    assert_eq!((first.addresses, first.cached), (vec![ip("93.184.216.34")], false));
    let second = resolver.resolve("example.com").await.unwrap();
    assert_eq!((second.addresses, second.cached), (vec![ip("93.184.216.34")], true), "in spite of TTL 0");
    let mut asked = asked.lock().unwrap().clone();
    asked.sort();
    assert_eq!(asked, ["example.com. A", "example.com. AAAA"], "and nothing else was asked");
}

#[tokio::test]
async fn abuse_a86_neither_search_domains_nor_the_hosts_file_answer_for_a_missing_name() {
    let (resolver, asked) =
        name_server(|_, _, response| response.metadata.response_code = ResponseCode::NXDomain).await;
    for name in ["missing.example", "ip6-allnodes", "db"] {
        assert!(matches!(resolver.resolve(name).await, Err(ResolveError::Absent(_))), "{name}");
    }
    let mut asked = asked.lock().unwrap().clone();
    asked.sort();
    asked.dedup();
    assert_eq!(
        asked,
        [
            "db. A",
            "db. AAAA",
            "ip6-allnodes. A",
            "ip6-allnodes. AAAA",
            "missing.example. A",
            "missing.example. AAAA"
        ]
    );
}

#[tokio::test]
async fn abuse_a86_an_endless_chain_of_cnames_ends() {
    let (resolver, asked) = name_server(|name, _, response| {
        let here = Name::from_ascii(name).unwrap();
        let step: u32 = name.trim_start_matches('c').trim_end_matches(".example.").parse().unwrap();
        let next = Name::from_ascii(format!("c{}.example.", step + 1)).unwrap();
        response.add_answer(Record::from_rdata(here, 60, RData::CNAME(CNAME(next))));
    })
    .await;
    let found = resolver.resolve("c0.example").await;
    assert!(matches!(found, Err(ResolveError::Absent(_))), "{found:?}");
    assert!(asked.lock().unwrap().len() <= 40, "{:?}", asked.lock().unwrap());
}

#[tokio::test]
async fn a_resolver_that_cannot_find_out_is_told_from_one_that_knows() {
    let (resolver, _) = name_server(|name, _, response| {
        if name == "." {
            response.metadata.response_code = ResponseCode::NXDomain;
        } else {
            response.metadata.response_code = ResponseCode::ServFail;
        }
    })
    .await;
    assert!(matches!(resolver.resolve("broken.example").await, Err(ResolveError::Unavailable(_))));
    assert!(resolver.is_alive().await, "any answer to the question for the root will do");

    let (resolver, _) =
        name_server(|_, _, response| response.metadata.response_code = ResponseCode::ServFail).await;
    assert!(!resolver.is_alive().await);
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_is_not_there_is_unavailable() {
    // Bound and then closed: the port answers nothing but "unreachable".
    let port = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let resolver = HickoryResolver::from_addresses(&[port]).unwrap();
    let found = resolver.resolve("example.com").await;
    assert!(matches!(found, Err(ResolveError::Unavailable(_))), "{found:?}");
    assert!(HickoryResolver::from_addresses(&[]).is_err());
}

#[tokio::test]
async fn abuse_a86_a_thousand_records_do_no_harm() {
    let (resolver, _) = name_server(|name, kind, response| {
        if kind == RecordType::A {
            for n in 0..1_000_u16 {
                let [high, low] = n.to_be_bytes();
                response.add_answer(a(name, 60, [93, 184, high, low]));
            }
        }
    })
    .await;
    // The resolver hands on what came; its caller takes the first sixteen (see `names`).
    assert_eq!(resolver.resolve("many.example").await.unwrap().addresses.len(), 1_000);
}
