//! Layouts from the BTF that maps were made with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use maplock_layout::btf::{Btf, BtfKind, BtfType, Resolver};
use maplock_layout::map::kept_name;
use maplock_layout::{Composite, CompositeKind, Layout, Member, Shape};

use crate::sys;
use crate::sys::privileges::BY_ID;

/// Why the BTF of a map says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// A phrase.
    pub(super) what: String,
    /// True if this process lacks the privilege to read it.
    pub(super) is_denied: bool,
}

/// Layouts of keys and values, by BTF and type in it. The maps of one object share its BTF, which is read once.
#[derive(Debug, Default)]
pub struct Layouts {
    known: HashMap<(u32, u32), Arc<Layout>>,
    problems: HashMap<u32, Problem>,
    /// Versions that tags on the variables of maps say, by BTF, with the names of the variables.
    versions: HashMap<u32, Vec<(String, u32)>>,
}

impl Layouts {
    /// Reads what maps of these kinds need, each BTF once. Ask for many maps at a time.
    pub fn read<'i>(&mut self, infos: impl IntoIterator<Item = &'i sys::MapInfo>) {
        let mut wanted: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for info in infos {
            for id in [info.btf_key_type_id, info.btf_value_type_id] {
                if info.btf_id != 0 && id != 0 && !self.known.contains_key(&(info.btf_id, id)) {
                    wanted.entry(info.btf_id).or_default().insert(id);
                }
            }
        }
        for (btf_id, ids) in wanted {
            if let Err(problem) = self.resolve(btf_id, &ids) {
                self.problems.insert(btf_id, problem);
            }
        }
    }

    fn resolve(&mut self, btf_id: u32, ids: &BTreeSet<u32>) -> Result<(), Problem> {
        let bytes = sys::Btf::from_id(btf_id).and_then(|btf| btf.bytes());
        let bytes = bytes.map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM) => {
                Problem { what: format!("reading its BTF, id {btf_id}, needs {BY_ID}"), is_denied: true }
            }
            _ => Problem { what: format!("its BTF, id {btf_id}, can't be read: {error}"), is_denied: false },
        })?;
        let mut resolve = || {
            let btf = Btf::parse(&bytes)?;
            let mut resolver = Resolver::new(&btf);
            for &id in ids {
                let ty = btf.get(id)?;
                let layout = match ty.kind {
                    BtfKind::Datasec => section(&btf, &mut resolver, &ty)?,
                    _ => resolver.resolve(id)?,
                };
                self.known.insert((btf_id, id), layout);
            }
            for tag in btf.version_tags().filter(|tag| tag.component == -1) {
                let on = btf.get(tag.on)?;
                if let (BtfKind::Var, Ok(version)) = (on.kind, tag.version) {
                    self.versions.entry(btf_id).or_default().push((btf.name(&on)?.to_owned(), version));
                }
            }
            Ok(())
        };
        resolve().map_err(|error: maplock_layout::btf::BtfError| Problem {
            what: format!("its BTF, id {btf_id}, is damaged: {error}"),
            is_denied: false,
        })
    }

    /// Key and value of a map.
    pub(super) fn of(&self, info: &sys::MapInfo) -> (Option<Arc<Layout>>, Option<Arc<Layout>>) {
        let of = |id| self.known.get(&(info.btf_id, id)).cloned();
        (of(info.btf_key_type_id), of(info.btf_value_type_id))
    }

    /// The version that a tag on a map's variable says; 0 if there is none, or several maps could be meant. Loaders that give the
    /// kernel all of an object's BTF, as libbpf does, give it that too.
    pub(super) fn version(&self, info: &sys::MapInfo) -> u32 {
        let said = self.versions.get(&info.btf_id).into_iter().flatten();
        let mut said = said.filter(|(name, _)| kept_name(name) == info.name);
        let first = said.next().map_or(0, |(_, version)| *version);
        if said.all(|(_, version)| *version == first) { first } else { 0 }
    }

    /// Why the BTF of a map says nothing, if that is so.
    pub(super) fn problem(&self, info: &sys::MapInfo) -> Option<&Problem> {
        self.problems.get(&info.btf_id)
    }
}

/// The variables of a section. Its loader has entered their places before it gave the BTF to the kernel.
fn section<'a>(
    btf: &Btf<'a>,
    resolver: &mut Resolver<'_, 'a>,
    datasec: &BtfType<'a>,
) -> Result<Arc<Layout>, maplock_layout::btf::BtfError> {
    let mut members = Vec::with_capacity(usize::from(datasec.vlen()));
    for info in datasec.secinfos() {
        let var = btf.get(info.type_id)?;
        if var.kind != BtfKind::Var {
            continue;
        }
        let name = resolver.name(&var)?.to_owned();
        let layout = resolver.resolve(var.type_id())?;
        if u64::from(info.offset) + layout.size > u64::from(datasec.size()) {
            let (offset, size) = (info.offset, datasec.size());
            return Err(datasec.error(format!("variable `{name}` at byte {offset} ends behind its {size} bytes")));
        }
        members.push((u64::from(info.offset) * 8, Arc::<str>::from(name), layout));
    }
    members.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let members = members.into_iter();
    let members =
        members.map(|(offset_bits, name, layout)| Member { name: name.into(), offset_bits, bits: None, layout });
    let name: Arc<str> = resolver.name(datasec)?.into();
    let composite = Composite::new(CompositeKind::Section, Some(name.into()), members.collect());
    let composite = composite.map_err(|error| datasec.error(error.to_string()))?;
    Ok(Arc::new(Layout::new(u64::from(datasec.size()), Shape::Composite(Arc::new(composite)))))
}
