//! Debian's packages for the test machine and the cross compiler, unpacked into the cache folder: nothing is installed, no
//! right is needed, and the package manager of this machine does not notice.
//!
//! apt works on lists and a cache of its own inside the folder. Invariants: what is there and was made from the same request
//! is used without a look at the network; what is incomplete is made anew.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::progress::Progress;
use crate::process;

/// Debian 12: the kernel is 6.1, which has clsact but not tcx, and glibc is the oldest that the product runs on.
const RELEASE: &str = "bookworm";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Programs of this machine, with what they need and is not installed here.
const HOST_PACKAGES: &[&str] =
    &["rustc-web", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-system-arm", "qemu-efi-aarch64", "kmod"];
/// Beside them, without what it needs: the standard library for the target.
const TARGET_LIBRARY: &str = "libstd-rust-web-dev:arm64";
/// The machine's user space, with all that it needs.
const GUEST_PACKAGES: &[&str] = &[
    "busybox-static",
    "dash",
    "ethtool",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libcap2-bin",
    "libgcc-s1",
    "procps",
    "util-linux",
];
/// Names the newest kernel by what it depends on.
const KERNEL_PACKAGE: &str = "linux-image-arm64";
/// How often apt is asked: the network may fail, and other runs of apt may hold its locks.
const APT_ATTEMPTS: u32 = 4;
const APT_PAUSE: Duration = Duration::from_secs(3);

/// Whether packages that are there are fetched again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    IfMissing,
    Anew,
}

/// Unpacked packages.
pub struct Packages {
    /// Programs of this machine: compiler, linker, emulator.
    pub host: PathBuf,
    /// The root of the test machine.
    pub guest: PathBuf,
    /// The kernel's release, as `uname -r` says it.
    pub kernel: String,
    /// Shared while the packages are in use, so that another run does not replace them.
    _lock: File,
}

/// Which of apt's two worlds a command works in.
#[derive(Clone, Copy)]
enum World {
    /// This machine's architecture, with what is installed here taken as given.
    Host,
    /// arm64, where nothing is installed.
    Guest,
}

impl World {
    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Guest => "guest",
        }
    }
}

/// Fetches and unpacks what is missing.
///
/// # Errors
/// This machine cannot have the packages; the text says what it lacks.
pub fn prepare(folder: &Path, mirror: &str, fetch: Fetch, progress: &Progress) -> anyhow::Result<Packages> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let lock_path = folder.join("lock");
    let lock_text = || format!("lock {}", lock_path.display());
    let lock = File::create(&lock_path).with_context(|| format!("create {}", lock_path.display()))?;
    let (host, guest, mark) = (folder.join("host"), folder.join("guest"), folder.join("unpacked"));
    let request = request(mirror);
    let is_current = || fs::read_to_string(&mark).is_ok_and(|text| text.starts_with(&request));

    lock.lock_shared().with_context(lock_text)?;
    if !is_current() || fetch == Fetch::Anew {
        lock.unlock().with_context(lock_text)?;
        lock.lock().with_context(lock_text)?;
        // Another run may have fetched while this one waited.
        if !is_current() || fetch == Fetch::Anew {
            check_tools()?;
            let apt = folder.join("apt");
            for stale in [&host, &guest, &apt] {
                remove_folder(stale)?;
            }
            let _ = fs::remove_file(&mark);
            let unpacked = download_and_unpack(&apt, mirror, &host, &guest, progress)?;
            remove_folder(&apt)?;
            index_modules(&host, &guest)?;
            fs::write(&mark, format!("{request}{unpacked}")).with_context(|| format!("write {}", mark.display()))?;
            progress.step(&format!("{} packages are in {}", unpacked.lines().count(), folder.display()));
        }
        lock.unlock().with_context(lock_text)?;
        lock.lock_shared().with_context(lock_text)?;
    }
    let kernel = kernel_release(&guest)?;
    Ok(Packages { host, guest, kernel, _lock: lock })
}

/// What the unpacked folders are made from.
fn request(mirror: &str) -> String {
    format!("{RELEASE} {mirror} {HOST_PACKAGES:?} {TARGET_LIBRARY} {GUEST_PACKAGES:?} {KERNEL_PACKAGE}\n")
}

fn check_tools() -> anyhow::Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "the cross compiler and the emulator are taken as packages for x86-64; this machine is {}",
            std::env::consts::ARCH
        );
    }
    for tool in ["apt-get", "apt-cache", "dpkg-deb", "tar"] {
        if process::find(&[tool]).is_none() {
            bail!("everything comes as Debian packages, and there is no {tool} here");
        }
    }
    if !Path::new(KEYRING).is_file() {
        bail!("{KEYRING}, which Debian's signatures are checked with, is not here; it is in debian-archive-keyring");
    }
    Ok(())
}

fn download_and_unpack(
    apt: &Path,
    mirror: &str,
    host: &Path,
    guest: &Path,
    progress: &Progress,
) -> anyhow::Result<String> {
    for world in [World::Host, World::Guest] {
        configure(apt, mirror, world)?;
    }
    progress.step(&format!("reads the lists of {RELEASE} from {mirror}"));
    ask(apt, World::Host, &["update"])?;
    let kernel = kernel_package(apt)?;
    progress.step(&format!("downloads {kernel}, the compiler, the emulator and what they need"));
    ask(apt, World::Host, &[&["install", "--yes", "--download-only"], HOST_PACKAGES].concat())?;
    // A cache of its own for each world: the name of a package's file says where it belongs.
    ask(apt, World::Guest, &[&["install", "--yes", "--download-only"], GUEST_PACKAGES].concat())?;
    download(apt, World::Host, TARGET_LIBRARY)?;
    download(apt, World::Guest, &kernel)?;

    progress.step("unpacks");
    let mut names = Vec::new();
    for (world, root) in [(World::Host, host), (World::Guest, guest)] {
        make_root(root)?;
        for package in archives(apt, world)? {
            unpack(&package, root)?;
            names.push(package.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names.iter().map(|name| format!("{name}\n")).collect())
}

/// Writes the configuration of one world.
fn configure(apt: &Path, mirror: &str, world: World) -> anyhow::Result<()> {
    let cache = cache(apt, world);
    for folder in [apt.join("lists/partial"), cache.join("archives/partial")] {
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let sources: String = [("debian", RELEASE.to_owned()), ("debian-security", format!("{RELEASE}-security"))]
        .map(|(archive, suite)| format!("deb [signed-by={KEYRING}] {mirror}/{archive} {suite} main\n"))
        .concat();
    let installed = apt.join(format!("installed-{}", world.name()));
    let (architectures, packages) = match world {
        World::Host => ("\"amd64\"; \"arm64\";", without_wanted(&fs::read_to_string("/var/lib/dpkg/status")?)),
        World::Guest => ("\"arm64\";", String::new()),
    };
    let architecture = match world {
        World::Host => "amd64",
        World::Guest => "arm64",
    };
    let folder = apt.display();
    let text = format!(
        "APT::Architecture \"{architecture}\";\nAPT::Architectures {{ {architectures} }};\n\
         APT::Install-Recommends \"0\";\nAPT::Sandbox::User \"\";\nDebug::NoLocking \"1\";\nAcquire::Languages \"none\";\n\
         Dir::State \"{folder}\";\nDir::State::lists \"{folder}/lists\";\nDir::State::status \"{}\";\n\
         Dir::Cache \"{}\";\nDir::Etc::sourcelist \"{folder}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n",
        installed.display(),
        cache.display()
    );
    for (path, content) in
        [(apt.join("sources.list"), sources), (installed, packages), (configuration(apt, world), text)]
    {
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The list of installed packages without those that are wanted here: what is installed may be of another version, and
/// lies elsewhere. What the others need is left out, too: it is there, and apt does nothing while it misses something.
fn without_wanted(status: &str) -> String {
    const RELATIONS: &[&str] = &["Depends:", "Pre-Depends:", "Recommends:", "Conflicts:", "Breaks:"];
    let is_relation = |line: &&str| RELATIONS.iter().any(|name| line.starts_with(name));
    let wanted = |entry: &&str| {
        let name = entry.lines().find_map(|line| line.strip_prefix("Package: ")).unwrap_or_default();
        !HOST_PACKAGES.contains(&name) && !name.starts_with("libstd-rust-web")
    };
    let lines = status.split_inclusive("\n\n").filter(wanted).flat_map(|entry| entry.split_inclusive('\n'));
    lines.filter(|line| !is_relation(line)).collect()
}

fn configuration(apt: &Path, world: World) -> PathBuf {
    apt.join(format!("apt-{}.conf", world.name()))
}

fn cache(apt: &Path, world: World) -> PathBuf {
    apt.join(format!("cache-{}", world.name()))
}

/// Runs apt-get, again where it fails; what it prints is shown only then.
fn ask(apt: &Path, world: World, arguments: &[&str]) -> anyhow::Result<()> {
    ask_in(apt, world, apt, arguments)
}

fn ask_in(apt: &Path, world: World, folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut said = String::new();
    for attempt in 1..=APT_ATTEMPTS {
        let output = Command::new("apt-get")
            .args(arguments)
            .env("APT_CONFIG", configuration(apt, world))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C")
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .context("start apt-get")?;
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        // An update that reached nothing ends with a warning and success.
        let reached = arguments != ["update"] || !said.contains("Failed to fetch");
        if output.status.success() && reached {
            return Ok(());
        }
        if attempt < APT_ATTEMPTS {
            std::thread::sleep(APT_PAUSE);
        }
    }
    bail!("`apt-get {}` failed {APT_ATTEMPTS} times: {said}", arguments.join(" "))
}

/// Downloads one package, without what it depends on.
fn download(apt: &Path, world: World, package: &str) -> anyhow::Result<()> {
    ask_in(apt, world, &cache(apt, world).join("archives"), &["download", package])
}

/// The package that the newest kernel of the release is in.
fn kernel_package(apt: &Path) -> anyhow::Result<String> {
    let output = Command::new("apt-cache")
        .args(["show", "--no-all-versions", KERNEL_PACKAGE])
        .env("APT_CONFIG", configuration(apt, World::Guest))
        .stdin(Stdio::null())
        .output()
        .context("start apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout);
    newest_kernel(&text).with_context(|| format!("the archive does not say which kernel {KERNEL_PACKAGE} is"))
}

fn newest_kernel(description: &str) -> Option<String> {
    let depends = description.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    depends.split([' ', ',']).find(|word| word.starts_with("linux-image-")).map(str::to_owned)
}

fn archives(apt: &Path, world: World) -> anyhow::Result<Vec<PathBuf>> {
    let folder = cache(apt, world).join("archives");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry.with_context(|| format!("list {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            found.push(path);
        }
    }
    Ok(found)
}

/// `/bin`, `/lib` and `/sbin` are links into `/usr`, as on every Debian of today.
fn make_root(root: &Path) -> anyhow::Result<()> {
    for name in ["bin", "lib", "lib64", "sbin"] {
        let folder = root.join("usr").join(name);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let link = root.join(name);
        symlink(Path::new("usr").join(name), &link).with_context(|| format!("link {}", link.display()))?;
    }
    Ok(())
}

/// `dpkg-deb --extract` would put folders where the links of [`make_root`] are.
fn unpack(package: &Path, root: &Path) -> anyhow::Result<()> {
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start dpkg-deb")?;
    let content = archive.stdout.take().context("dpkg-deb has no output")?;
    let unpacked = Command::new("tar")
        .args(["--extract", "--keep-directory-symlink", "--no-same-owner", "--directory"])
        .arg(root)
        .stdin(content)
        .status()
        .context("start tar")?;
    let read = archive.wait().context("wait for dpkg-deb")?;
    if !unpacked.success() || !read.success() {
        bail!("{} cannot be unpacked: dpkg-deb ended with {read}, tar with {unpacked}", package.display());
    }
    Ok(())
}

/// Writes the indices of the kernel's modules, which installing the package would do.
fn index_modules(host: &Path, guest: &Path) -> anyhow::Result<()> {
    let release = kernel_release(guest)?;
    let status = Command::new(host.join("usr/bin/kmod"))
        .arg0("depmod")
        .arg("-b")
        .args([guest.as_os_str(), release.as_ref()])
        .env("LD_LIBRARY_PATH", libraries(host))
        .stdin(Stdio::null())
        .status()
        .context("start depmod")?;
    if !status.success() {
        bail!("depmod for {release} ended with {status}");
    }
    Ok(())
}

/// Where programs in `host` find their libraries.
pub fn libraries(host: &Path) -> PathBuf {
    host.join("usr/lib/x86_64-linux-gnu")
}

fn kernel_release(guest: &Path) -> anyhow::Result<String> {
    let modules = guest.join("usr/lib/modules");
    let entry = fs::read_dir(&modules).with_context(|| format!("list {}", modules.display()))?.next();
    let entry = entry.with_context(|| format!("{} is empty", modules.display()))?;
    let entry = entry.with_context(|| format!("list {}", modules.display()))?;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_what_the_package_without_a_version_depends_on() {
        let text = "Package: linux-image-arm64\nDepends: linux-image-6.1.0-56-arm64 (= 6.1.192-2)\nSize: 1\n";
        assert_eq!(newest_kernel(text).as_deref(), Some("linux-image-6.1.0-56-arm64"));
        assert_eq!(newest_kernel("Package: x\n"), None);
    }

    #[test]
    fn packages_that_are_wanted_count_as_not_installed_and_nobody_misses_them() {
        let status = "Package: kmod\nStatus: i\n\nPackage: udev\nStatus: i\nPre-Depends: dpkg\nDepends: kmod\nVersion: 1\n\n\
                      Package: libstd-rust-web-1.96\n\n";
        assert_eq!(without_wanted(status), "Package: udev\nStatus: i\nVersion: 1\n\n");
    }
}
