use std::fmt;

use serde_json::Value;

use crate::failure::QualifiedKind;
use crate::manifest::{KindError, Manifest, Version};
use crate::names::NameRule;
use crate::schema::Schema;
use crate::{Cause, Details, Failure, JsonPath, Reason};

/// One served version of a resource.
pub struct Kind {
    group: String,
    version: String,
    api_version: String,
    storage_version: String,
    kind: String,
    list_kind: String,
    plural: String,
    singular: String,
    short_names: Vec<String>,
    categories: Vec<String>,
    scope: KindScope,
    name_rule: NameRule,
    update_policy: UpdatePolicy,
    open_api: Value,
    schema: Schema,
    columns: Vec<PrinterColumn>,
    selectable: Vec<SelectableField>,
    deprecation_warning: Option<String>,
    subresources: Subresources,
    head: String,
}

/// Where the objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KindScope {
    /// In namespaces.
    Namespaced,
    /// Outside of them.
    Cluster,
}

/// What an update may do; the default is what Kubernetes does for custom resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdatePolicy {
    /// An update of an object that does not exist.
    pub missing: Missing,
    /// An update without a resource version.
    pub unconditional: Unconditional,
}

/// What an update of an object that does not exist does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// It is refused.
    #[default]
    Refuse,
    /// It creates the object.
    Create,
}

/// What becomes of an update without a resource version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unconditional {
    /// It is refused.
    #[default]
    Refuse,
    /// It replaces whatever is there.
    Allow,
}

/// The subresources that the manifest declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subresources {
    /// `/status`.
    pub status: bool,
    /// `/scale`: its paths.
    pub scale: Option<Value>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrinterColumn {
    /// The heading.
    pub name: String,
    /// How cells are written.
    pub kind: ColumnType,
    /// A refinement of the type.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// Above zero: in wide tables only.
    pub priority: i32,
    /// Where the cell's value is.
    pub path: JsonPath,
}

/// How the cells of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// As text.
    String,
    /// As a number.
    Integer,
    /// As a number.
    Number,
    /// As true or false.
    Boolean,
    /// As an age.
    Date,
}

impl ColumnType {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::String,
        Self::Integer,
        Self::Number,
        Self::Boolean,
        Self::Date,
    ];

    /// Returns the word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
        }
    }
}

/// A field that field selectors may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// As selectors write it: `spec.title`.
    pub label: String,
    /// Where the value is.
    pub path: JsonPath,
}

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

const PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
];

impl Kind {
    pub(crate) fn compile(manifest: &Manifest, version: &Version) -> Result<Self, KindError> {
        let (spec, names) = (&manifest.spec, &manifest.spec.names);
        let storage = spec.versions.iter().find(|v| v.storage);
        let api_version = if spec.group.is_empty() {
            version.name.clone()
        } else {
            format!("{}/{}", spec.group, version.name)
        };
        let or_else = |word: &str, other: String| {
            if word.is_empty() { other } else { word.into() }
        };
        let head = format!(
            "{{\"apiVersion\":\"{api_version}\",\"kind\":\"{}\",\"metadata\":{{",
            names.kind
        );
        let open_api = version.schema.open_api.clone();
        Ok(Self {
            group: spec.group.clone(),
            version: version.name.clone(),
            storage_version: storage.map_or_else(String::new, |v| v.name.clone()),
            kind: names.kind.clone(),
            list_kind: or_else(&names.list_kind, format!("{}List", names.kind)),
            plural: names.plural.clone(),
            singular: or_else(&names.singular, names.kind.to_lowercase()),
            short_names: names.short_names.clone(),
            categories: names.categories.clone(),
            scope: manifest.scope()?,
            name_rule: manifest.name_rule()?,
            update_policy: manifest.update_policy()?,
            schema: Schema::compile(&open_api).map_err(KindError)?,
            open_api,
            columns: version.printer_columns()?,
            selectable: version.selectable_fields()?,
            deprecation_warning: version.deprecated.then(|| {
                let default = format!("{api_version} {} is deprecated", names.kind);
                version.deprecation_warning.clone().unwrap_or(default)
            }),
            subresources: version.subresources(),
            head,
            api_version,
        })
    }

    /// Returns the API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Returns the version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns group and version, as objects write them.
    #[must_use]
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// Returns the version that objects are stored at.
    #[must_use]
    pub fn storage_version(&self) -> &str {
        &self.storage_version
    }

    /// Returns the kind, `Playlist`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the kind of lists, `PlaylistList`.
    #[must_use]
    pub fn list_kind(&self) -> &str {
        &self.list_kind
    }

    /// Returns the resource, the word of the URL: `playlists`.
    #[must_use]
    pub fn plural(&self) -> &str {
        &self.plural
    }

    /// Returns the word for one.
    #[must_use]
    pub fn singular(&self) -> &str {
        &self.singular
    }

    /// Returns the resource with its group, `playlists.playlist.grafana.app`.
    #[must_use]
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Returns the short names.
    #[must_use]
    pub fn short_names(&self) -> &[String] {
        &self.short_names
    }

    /// Returns the categories.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// Returns where the objects live.
    #[must_use]
    pub const fn scope(&self) -> KindScope {
        self.scope
    }

    /// Returns the verbs, in alphabetical order.
    #[must_use]
    pub const fn verbs(&self) -> &'static [&'static str] {
        VERBS
    }

    /// Returns the manifest's schema as it was given.
    #[must_use]
    pub const fn open_api_schema(&self) -> &Value {
        &self.open_api
    }

    /// Returns the columns of tables after the name.
    #[must_use]
    pub fn printer_columns(&self) -> &[PrinterColumn] {
        &self.columns
    }

    /// Returns the fields that selectors may name besides name and namespace.
    #[must_use]
    pub fn selectable_fields(&self) -> &[SelectableField] {
        &self.selectable
    }

    /// Returns the warning for users of a deprecated version.
    #[must_use]
    pub fn deprecation_warning(&self) -> Option<&str> {
        self.deprecation_warning.as_deref()
    }

    /// Returns the subresources that the manifest declares.
    #[must_use]
    pub const fn subresources(&self) -> &Subresources {
        &self.subresources
    }

    /// Returns which names are allowed.
    #[must_use]
    pub const fn name_rule(&self) -> NameRule {
        self.name_rule
    }

    /// Returns what an update may do.
    #[must_use]
    pub const fn update_policy(&self) -> UpdatePolicy {
        self.update_policy
    }

    /// Returns the media types of patches that are understood.
    #[must_use]
    pub const fn patch_types(&self) -> &'static [&'static str] {
        PATCH_TYPES
    }

    pub(crate) const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The start of every object of this kind, up to and with the brace of `metadata`.
    pub(crate) fn head(&self) -> &str {
        &self.head
    }

    fn refused(&self, reason: Reason, name: &str, message: String) -> Failure {
        Failure::new(reason, message).with_details(Details {
            name: name.into(),
            group: self.group.clone(),
            kind: self.plural.clone(),
            ..Details::default()
        })
    }

    pub(crate) fn not_found(&self, name: &str) -> Failure {
        let message = format!("{} \"{name}\" not found", self.group_resource());
        self.refused(Reason::NotFound, name, message)
    }

    pub(crate) fn already_exists(&self, name: &str) -> Failure {
        let message = format!("{} \"{name}\" already exists", self.group_resource());
        self.refused(Reason::AlreadyExists, name, message)
    }

    pub(crate) fn conflict(&self, name: &str, why: &str) -> Failure {
        let resource = self.group_resource();
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        self.refused(Reason::Conflict, name, message)
    }

    pub(crate) fn modified(&self, name: &str) -> Failure {
        self.conflict(
            name,
            "the object has been modified; \
             please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn invalid(&self, name: &str, causes: Vec<Cause>) -> Failure {
        let kind = QualifiedKind {
            group: &self.group,
            kind: &self.kind,
        };
        Failure::invalid(kind, name, causes)
    }
}

impl Failure {
    /// Refuses a verb that a resource does not have.
    #[must_use]
    pub fn method_not_allowed(verb: &str, kind: &Kind) -> Self {
        let resource = kind.group_resource();
        let message = format!("{verb} is not supported on resources of kind \"{resource}\"");
        kind.refused(Reason::MethodNotAllowed, "", message)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({} {})", self.api_version, self.kind)
    }
}

impl PartialEq for Kind {
    /// Two kinds are equal if they are versions of the same name of the same resource.
    fn eq(&self, other: &Self) -> bool {
        self.api_version == other.api_version && self.plural == other.plural
    }
}
