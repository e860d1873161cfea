/// What an engine says differently, as data. The meaning of every statement is the same.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// The name of the engine.
    pub(crate) engine: &'static str,
    /// How parameters are written.
    pub(crate) parameters: Parameters,
    /// The type of a stored key: compared byte by byte, trailing spaces too.
    pub(crate) key_type: &'static str,
    /// The type of values.
    pub(crate) value_type: &'static str,
    /// The type of an operation id.
    pub(crate) operation_type: &'static str,
    /// What follows the columns of a table with large rows.
    pub(crate) table: &'static str,
    /// What follows the columns of a table with small rows.
    pub(crate) small_table: &'static str,
    /// What follows the columns of the table whose one row changes with every commit.
    pub(crate) hot_table: &'static str,
    /// How an insert says what to do with a row that is there.
    pub(crate) upsert: Upsert,
    /// How a set of keys is given.
    pub(crate) key_set: KeySet,
    /// Most rows of one insert.
    pub(crate) insert_rows_max: usize,
    /// Follows a `SELECT` of a row that is to be locked.
    pub(crate) for_update: &'static str,
    /// What stands before and behind the name of an index that must be used, if the engine has
    /// words for that.
    pub(crate) force_index: Option<(&'static str, &'static str)>,
    /// Surrounds a column so that no index on it is used: the planner cannot know better.
    pub(crate) unindexed: (&'static str, &'static str),
}

/// How parameters are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parameters {
    /// `?`
    Question,
    /// `$1`
    Numbered,
}

/// How an insert says what to do with a row that is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upsert {
    /// `ON CONFLICT (key_path) DO UPDATE SET`
    OnConflict,
    /// `ON DUPLICATE KEY UPDATE`
    OnDuplicateKey,
}

/// How a set of keys is given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeySet {
    /// One array: `= ANY (?)`
    Array,
    /// One parameter per key: `IN (?, ?, …)`. Statements are made for these numbers of keys, the
    /// last being the most; a set in between repeats its last key.
    List(&'static [usize]),
}

impl Dialect {
    /// Returns a statement that is written with `?`, as the engine wants it.
    pub(crate) fn numbered(&self, text: &str) -> String {
        match self.parameters {
            Parameters::Question => text.to_owned(),
            Parameters::Numbered => number(text),
        }
    }

    /// Returns what follows a table of which that index must be used.
    pub(crate) fn forced(&self, index: &str) -> String {
        self.force_index.map_or(String::new(), |(before, behind)| {
            format!("{before}{index}{behind}")
        })
    }

    /// Returns the clause that updates `columns` of a row that is there, by expressions in which
    /// `{new}` stands for the inserted value of the column.
    pub(crate) fn on_conflict(&self, columns: &[(&str, &str)]) -> String {
        let (start, before, after) = match self.upsert {
            Upsert::OnConflict => (" ON CONFLICT (key_path) DO UPDATE SET ", "excluded.", ""),
            Upsert::OnDuplicateKey => (" ON DUPLICATE KEY UPDATE ", "VALUES(", ")"),
        };
        let set: Vec<String> = columns
            .iter()
            .map(|(column, expression)| {
                let new = format!("{before}{column}{after}");
                format!("{column} = {}", expression.replace("{new}", &new))
            })
            .collect();
        start.to_owned() + &set.join(", ")
    }
}

fn number(text: &str) -> String {
    let mut numbered = String::with_capacity(text.len() + 16);
    for (index, part) in text.split('?').enumerate() {
        if index > 0 {
            numbered.push('$');
            numbered.push_str(&index.to_string());
        }
        numbered.push_str(part);
    }
    numbered
}
