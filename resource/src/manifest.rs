use serde::Deserialize;
use serde_json::Value;
use storage_core::INTERNAL_GROUP;

use crate::kind::{
    ColumnType, KindScope, Missing, PrinterColumn, SelectableField, Subresources, Unconditional,
    UpdatePolicy,
};
use crate::names::{self, NameRule};

/// Why a manifest was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KindError(pub(crate) String);

/// The annotation that allows the looser rule for names: `kubernetes` or `loose`.
const NAME_RULE: &str = "unistore.internal/name-rule";
/// The annotation that says what an update may do: `kubernetes` or `upsert`.
const UPDATE_POLICY: &str = "unistore.internal/update-policy";
const COLUMNS_DEFAULT: &str = r#"[{"name":"Age","type":"date",
    "jsonPath":".metadata.creationTimestamp","description":"How long ago it was created."}]"#;

/// A CustomResourceDefinition, as far as it is acted upon.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    api_version: String,
    kind: String,
    metadata: Metadata,
    pub(crate) spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Spec {
    pub(crate) group: String,
    scope: String,
    pub(crate) names: Names,
    pub(crate) versions: Vec<Version>,
    #[serde(default)]
    conversion: Conversion,
}

#[derive(Debug, Default, Deserialize)]
struct Conversion {
    #[serde(default)]
    strategy: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Names {
    pub(crate) plural: String,
    #[serde(default)]
    pub(crate) singular: String,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) list_kind: String,
    #[serde(default)]
    pub(crate) short_names: Vec<String>,
    #[serde(default)]
    pub(crate) categories: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) served: bool,
    pub(crate) storage: bool,
    #[serde(default)]
    pub(crate) deprecated: bool,
    pub(crate) deprecation_warning: Option<String>,
    pub(crate) schema: VersionSchema,
    #[serde(default)]
    subresources: SubresourceSource,
    additional_printer_columns: Option<Vec<ColumnSource>>,
    #[serde(default)]
    selectable_fields: Vec<PathSource>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct VersionSchema {
    #[serde(rename = "openAPIV3Schema")]
    pub(crate) open_api: Value,
}

#[derive(Debug, Default, Deserialize)]
struct SubresourceSource {
    status: Option<Value>,
    scale: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ColumnSource {
    name: String,
    r#type: String,
    json_path: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PathSource {
    json_path: String,
}

impl Manifest {
    pub(crate) fn read(value: &Value) -> Result<Self, KindError> {
        let manifest = Self::deserialize(value).map_err(|error| KindError(error.to_string()))?;
        manifest.check().map_err(KindError)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.api_version != "apiextensions.k8s.io/v1" || self.kind != "CustomResourceDefinition"
        {
            return Err(format!(
                "{} {} is not an apiextensions.k8s.io/v1 CustomResourceDefinition",
                self.api_version, self.kind
            ));
        }
        let spec = &self.spec;
        let wanted = format!("{}.{}", spec.names.plural, spec.group);
        if self.metadata.name != wanted {
            return Err(format!("metadata.name must be {wanted:?}"));
        }
        spec.check_names()?;
        if !matches!(spec.conversion.strategy.as_str(), "" | "None") {
            return Err(format!(
                "spec.conversion.strategy: {:?} is not supported yet, \"None\" is",
                spec.conversion.strategy
            ));
        }
        match spec.versions.iter().filter(|v| v.storage).count() {
            1 => Ok(()),
            found => Err(format!(
                "spec.versions: exactly one must be the storage version, {found} are"
            )),
        }
    }

    pub(crate) fn scope(&self) -> Result<KindScope, KindError> {
        match self.spec.scope.as_str() {
            "Namespaced" => Ok(KindScope::Namespaced),
            "Cluster" => Ok(KindScope::Cluster),
            other => Err(KindError(format!(
                "spec.scope: {other:?} is not Namespaced or Cluster"
            ))),
        }
    }

    pub(crate) fn name_rule(&self) -> Result<NameRule, KindError> {
        match self.metadata.annotations.get(NAME_RULE).map(String::as_str) {
            None | Some("kubernetes") => Ok(NameRule::Kubernetes),
            Some("loose") => Ok(NameRule::Loose),
            Some(other) => Err(KindError(format!(
                "{NAME_RULE}: {other:?} is not kubernetes or loose"
            ))),
        }
    }

    pub(crate) fn update_policy(&self) -> Result<UpdatePolicy, KindError> {
        match self
            .metadata
            .annotations
            .get(UPDATE_POLICY)
            .map(String::as_str)
        {
            None | Some("kubernetes") => Ok(UpdatePolicy::default()),
            Some("upsert") => Ok(UpdatePolicy {
                missing: Missing::Create,
                unconditional: Unconditional::Allow,
            }),
            Some(other) => Err(KindError(format!(
                "{UPDATE_POLICY}: {other:?} is not kubernetes or upsert"
            ))),
        }
    }
}

impl Spec {
    fn check_names(&self) -> Result<(), String> {
        if self.group == INTERNAL_GROUP {
            return Err(format!("spec.group: {INTERNAL_GROUP:?} is reserved"));
        }
        for (what, name) in [
            ("spec.group", &self.group),
            ("spec.names.plural", &self.names.plural),
        ] {
            if let Some(why) = names::subdomain(name) {
                return Err(format!("{what}: {name:?}: {why}"));
            }
        }
        for (what, word) in [
            ("spec.names.kind", &self.names.kind),
            ("spec.names.listKind", &self.names.list_kind),
        ] {
            if !word.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(format!("{what}: {word:?} must be letters and digits"));
            }
        }
        if self.names.kind.is_empty() {
            return Err("spec.names.kind must not be empty".into());
        }
        for version in &self.versions {
            if let Some(why) = names::namespace(&version.name) {
                return Err(format!("spec.versions: {:?}: {why}", version.name));
            }
        }
        Ok(())
    }
}

impl Version {
    pub(crate) fn subresources(&self) -> Subresources {
        Subresources {
            status: self.subresources.status.is_some(),
            scale: self.subresources.scale.clone(),
        }
    }

    pub(crate) fn printer_columns(&self) -> Result<Vec<PrinterColumn>, KindError> {
        match &self.additional_printer_columns {
            Some(columns) => columns.iter().map(ColumnSource::compile).collect(),
            None => serde_json::from_str::<Vec<ColumnSource>>(COLUMNS_DEFAULT)
                .map_err(|error| KindError(error.to_string()))?
                .iter()
                .map(ColumnSource::compile)
                .collect(),
        }
    }

    pub(crate) fn selectable_fields(&self) -> Result<Vec<SelectableField>, KindError> {
        self.selectable_fields
            .iter()
            .map(|field| {
                let path: crate::JsonPath = field.json_path.parse().map_err(KindError)?;
                if !path.is_simple() {
                    let text = &field.json_path;
                    return Err(KindError(format!(
                        "selectableFields: {text:?} must consist of field names"
                    )));
                }
                Ok(SelectableField {
                    label: field.json_path.trim_start_matches('.').into(),
                    path,
                })
            })
            .collect()
    }
}

impl ColumnSource {
    fn compile(&self) -> Result<PrinterColumn, KindError> {
        let column = |what: &str, why: String| {
            KindError(format!(
                "additionalPrinterColumns: {}.{what}: {why}",
                self.name
            ))
        };
        let kind = ColumnType::ALL
            .into_iter()
            .find(|kind| kind.as_str() == self.r#type)
            .ok_or_else(|| column("type", format!("{:?} is not a column type", self.r#type)))?;
        Ok(PrinterColumn {
            name: self.name.clone(),
            kind,
            format: self.format.clone(),
            description: self.description.clone(),
            priority: self.priority,
            path: self
                .json_path
                .parse()
                .map_err(|why| column("jsonPath", why))?,
        })
    }
}
