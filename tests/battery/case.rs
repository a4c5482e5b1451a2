//! What a case is: bytes to send, what the dyno does, and what may come of it.

use std::sync::Arc;

/// What a client does, one step after the other.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends bytes. `{host}` in them is the lane's host and `{marker}` a target that nobody asks for.
    Send(Vec<u8>),
    /// Sends nothing for so many milliseconds.
    Pause(u64),
    /// Waits until the head of an interim answer with this status, or of any final one, has come.
    Await(u16),
    /// Waits until so many final answers have come whole.
    AwaitLast(usize),
    /// Ends the sending half.
    Shut,
    /// Closes the connection and reads no more.
    Leave,
}

/// What the dyno does with the request of a case.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends bytes.
    Say(Vec<u8>),
    /// Waits for so many milliseconds.
    Pause(u64),
    /// Closes in order.
    Close,
    /// Closes so that the other side sees a reset.
    Reset,
}

/// A dyno's part.
#[derive(Debug, Clone, Default)]
pub(crate) enum Dyno {
    /// It answers 200 and says what it saw.
    #[default]
    Good,
    /// It reads the whole request, then acts.
    Acts(Vec<Act>),
    /// It acts as soon as it has the head, and then reads on.
    Early(Vec<Act>),
    /// It has a connection closed so many microseconds after its last answer: a race with what comes next.
    Idles(u64),
    /// It answers the first request of a connection; when another has come on it, it acts and closes.
    Tires(Vec<Act>),
}

/// What a client may be told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// A whole answer with one of these statuses.
    Status(&'static [u16]),
    /// An error of the mesh with one of these statuses.
    Mesh(&'static [u16]),
    /// The dyno's whole answer.
    Whole { status: u16, body: Vec<u8> },
    /// Nothing that looks whole: an answer cut off.
    Broken,
    /// No answer: the connection is closed.
    Closed,
}

/// The request a dyno is to see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) with: Vec<(String, String)>,
    pub(crate) without: Vec<String>,
}

/// What may reach the dyno.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// Nothing.
    Nothing,
    /// These requests, in this order.
    These(Vec<Seen>),
    /// These requests, in whatever order.
    Each(Vec<Seen>),
    /// All of these requests or a part from the front, nothing else.
    AtMost(Vec<Seen>),
    /// Whatever is well-formed.
    Any,
}

/// Whether the connection is closed behind the last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Closed,
    Open,
    Either,
}

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The RFC and section it is from; 9112 if only a section is given.
    pub(crate) section: &'static str,
    pub(crate) name: String,
    pub(crate) sent: Vec<Step>,
    /// The methods of the requests that are answered.
    pub(crate) methods: Vec<&'static str>,
    pub(crate) dyno: Arc<Dyno>,
    /// What the client may be told of each request.
    pub(crate) told: Vec<Vec<Told>>,
    /// The interim statuses it may be told before, each list a way.
    pub(crate) interim: Vec<Vec<u16>>,
    pub(crate) reach: Reach,
    pub(crate) after: After,
    /// Fields that the last answer must have, or must not.
    pub(crate) with: Vec<(String, String)>,
    pub(crate) without: Vec<String>,
    /// Whether its requests may reach the dyno more than once, since it failed; a POST never.
    pub(crate) repeats: bool,
}

// === impl Case: what is sent ===

/// A case whose request must be refused with 400 and its connection closed.
pub(crate) fn refused(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Case {
    let told = vec![vec![Told::Status(&[400])]];
    Case {
        section,
        name: name.into(),
        sent: vec![Step::Send(bytes.as_ref().to_vec())],
        methods: vec!["GET"],
        dyno: Arc::default(),
        told,
        interim: vec![Vec::new()],
        reach: Reach::Nothing,
        after: After::Closed,
        with: Vec::new(),
        without: Vec::new(),
        repeats: false,
    }
}

/// A case whose request must reach the dyno as `seen` and be answered.
pub(crate) fn passed(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>, seen: Seen) -> Case {
    let case = refused(section, name, bytes);
    Case { told: vec![vec![Told::Status(&[200])]], reach: Reach::These(vec![seen]), after: After::Open, ..case }
}

/// A case whose request may be refused or passed: both are safe.
pub(crate) fn either(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>, seen: Seen) -> Case {
    let case = refused(section, name, bytes);
    Case { told: vec![vec![Told::Status(&[200, 400])]], reach: Reach::AtMost(vec![seen]), after: After::Either, ..case }
}

/// A case of a dyno that answers a GET by these bytes.
pub(crate) fn answered(section: &'static str, name: impl Into<String>, answer: impl AsRef<[u8]>) -> Case {
    answered_to(section, name, "GET", answer)
}

/// The same for another method.
pub(crate) fn answered_to(section: &'static str, name: impl Into<String>, method: &'static str, answer: impl AsRef<[u8]>) -> Case {
    let body = if method == "POST" { "content-length: 4\r\n\r\nbody" } else { "\r\n" };
    let seen = Seen { body: if method == "POST" { b"body".to_vec() } else { Vec::new() }, ..Seen::of(method, "/evil") };
    let case = passed(section, name, format!("{method} /evil HTTP/1.1\r\nhost: {{host}}\r\n{body}"), seen);
    let dyno = Arc::new(Dyno::Acts(vec![Act::Say(answer.as_ref().to_vec())]));
    Case { methods: vec![method], dyno, after: After::Either, repeats: method == "GET" || method == "HEAD", ..case }
}

impl Case {
    /// Does more after what was sent so far.
    pub(crate) fn then(mut self, step: Step) -> Self {
        self.sent.push(step);
        self
    }

    /// Sends more.
    pub(crate) fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        self.then(Step::Send(bytes))
    }

    /// Its request has this method, which says how its answer ends.
    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.methods = vec![method];
        self
    }

    /// It has these requests.
    pub(crate) fn methods(mut self, methods: &[&'static str]) -> Self {
        self.methods = methods.to_vec();
        self
    }

    /// Has the dyno do this.
    pub(crate) fn dyno(mut self, dyno: Dyno) -> Self {
        self.dyno = Arc::new(dyno);
        self
    }

    /// Has the dyno do more after its answer.
    pub(crate) fn act(self, act: Act) -> Self {
        let mut dyno = (*self.dyno).clone();
        match &mut dyno {
            Dyno::Acts(acts) | Dyno::Early(acts) | Dyno::Tires(acts) => acts.push(act),
            Dyno::Good | Dyno::Idles(_) => dyno = Dyno::Acts(vec![act]),
        }
        self.dyno(dyno)
    }
}

// === impl Case: what is expected ===

impl Case {
    /// One request is answered with one of these statuses.
    pub(crate) fn status(mut self, statuses: &'static [u16]) -> Self {
        self.told = vec![vec![Told::Status(statuses)]];
        self
    }

    /// One request is told one of these.
    pub(crate) fn told(mut self, told: impl Into<Vec<Told>>) -> Self {
        self.told = vec![told.into()];
        self
    }

    /// So also may it be told.
    pub(crate) fn or(mut self, told: Told) -> Self {
        self.told.last_mut().expect("a case expects something").push(told);
        self
    }

    /// What each of its requests may be told.
    pub(crate) fn each(mut self, told: Vec<Vec<Told>>) -> Self {
        self.told = told;
        self
    }

    /// The dyno's answer comes whole.
    pub(crate) fn whole(self, status: u16, body: &str) -> Self {
        self.told([Told::Whole { status, body: body.into() }])
    }

    /// The dyno's answer does not come, or visibly cut off.
    pub(crate) fn broken(self) -> Self {
        self.told([Told::Mesh(&[502]), Told::Broken, Told::Closed])
    }

    /// One of these lists of interim answers comes.
    pub(crate) fn interim(mut self, lists: &[&[u16]]) -> Self {
        self.interim = lists.iter().map(|list| list.to_vec()).collect();
        self
    }

    /// This may reach the dyno.
    pub(crate) fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// The connection then is open or closed.
    pub(crate) fn after(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    /// Its last answer has this field.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.with.push((name.into(), value.into()));
        self
    }

    /// Its last answer has no such field.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.without.push(name.into());
        self
    }
}

// === impl Seen ===

impl Seen {
    /// A request without a body.
    pub(crate) fn of(method: &str, target: &str) -> Self {
        Seen { method: method.into(), target: target.into(), ..Seen::default() }
    }

    /// A GET.
    pub(crate) fn get(target: &str) -> Self {
        Self::of("GET", target)
    }

    /// A POST with a body.
    pub(crate) fn post(target: &str, body: impl AsRef<[u8]>) -> Self {
        Seen { body: body.as_ref().to_vec(), ..Self::of("POST", target) }
    }

    /// For another host than the lane's as it stands.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = Some(host.into());
        self
    }

    /// With a field, its only one of that name.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.with.push((name.into(), value.into()));
        self
    }

    /// Without one.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.without.push(name.into());
        self
    }
}
