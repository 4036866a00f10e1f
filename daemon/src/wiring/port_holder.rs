//! Who listens on a port, from /proc. For an error message: what cannot be found is not told.

use std::fs;

/// State of a listening socket in /proc/net/tcp.
const LISTEN: &str = "0A";

/// Name and number of a process that listens on TCP `port`.
pub fn find(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for process in processes {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else { continue };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path())
                .is_ok_and(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
        });
        if holds {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            return Some(format!("process {process} ({})", name.trim()));
        }
    }
    None
}

/// Inodes of sockets that listen on `port`, from one of the kernel's tables.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (local, state) = (fields.nth(1)?, fields.nth(1)?);
            let inode = fields.nth(5)?;
            (local.ends_with(&suffix) && state == LISTEN).then(|| inode.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                       0: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
                       1: 0100007F:075B 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n\
                       2: 0100007F:1F93 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0\n\
                     broken";
        assert_eq!(listening_inodes(table, 1883), ["4711"]);
        assert_eq!(listening_inodes(table, 8083), ["4713"]);
        assert!(listening_inodes(table, 1).is_empty());
    }
}
