//! Threads at hand: a run of many short kernels hands work over in half a microsecond, where waking a sleeping thread of the
//! pool takes 15 to 35, and finding one awake 2.
//!
//! A leader hires the other threads of its rayon pool. Each looks for work, spinning, and goes home when there was none for
//! a while; the leader hires again when it has some. Nobody waits for a thread that has not come: the others do its work.
//!
//! Tasks are cut into one run of neighbours a thread, and each thread begins with its own: the next kernel finds in a
//! thread's cache what the kernel before left there. Who is done takes from the ends of the others' runs.
use std::any::Any;
use std::cell::{RefCell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a helper looks for work.
const PATIENCE: Duration = Duration::from_micros(500);
/// Looks at memory between two at the clock.
const LOOKS: usize = 64;
/// Looks before a waiting leader lets other threads of its processor run: the helper that it waits for may be one.
const LOOKS_BEFORE_YIELD: usize = 4096;

/// What a thread is in a team.
enum Role {
    /// None has anything to do with it.
    Outside,
    /// It hands out work.
    Leader(Arc<Team>),
    /// It is at a task, or looks for one: what the task hands out it does itself.
    Inside,
}

thread_local! {
    static ROLE: RefCell<Role> = const { RefCell::new(Role::Outside) };
}

/// Runs `body` with the threads of the current rayon pool at hand, for bodies that call many kernels in a row. Results are
/// the same with and without.
///
/// Meanwhile, other users of the pool find its threads busy, and one that waits in a parallel call of its own may be made
/// to help; that ends with the body, or with its first pause of half a millisecond.
pub fn together<T>(body: impl FnOnce() -> T) -> T {
    let free = ROLE.with_borrow(|role| matches!(role, Role::Outside));
    if !free || rayon::current_num_threads() < 2 {
        return body();
    }
    let team = Arc::new(Team::new());
    ROLE.set(Role::Leader(team.clone()));
    let _end = OnDrop(|| {
        ROLE.set(Role::Outside);
        team.over.store(true, Ordering::Release);
    });
    body()
}

/// Whether the current thread leads a team.
pub(super) fn is_at_hand() -> bool {
    ROLE.with_borrow(|role| matches!(role, Role::Leader(_)))
}

/// Runs the tasks on the current thread's team. `false` if it has none, and nothing was done.
pub(super) fn share(tasks: usize, task: &(dyn Fn(usize) + Sync)) -> bool {
    match ROLE.replace(Role::Inside) {
        Role::Leader(team) => {
            let _back = OnDrop(|| ROLE.set(Role::Leader(team.clone())));
            team.run(tasks, task);
            true
        }
        Role::Inside => {
            (0..tasks).for_each(task);
            true
        }
        Role::Outside => {
            ROLE.set(Role::Outside);
            false
        }
    }
}

/// What the tasks of one run do, as long as it is open.
#[derive(Clone, Copy)]
struct Work(*const (dyn Fn(usize) + Sync));

/// Tasks that nobody has taken yet, neighbours all: the first in the lower half, the end in the upper. On a cache line of its
/// own.
#[repr(align(64))]
struct Left(AtomicU64);

impl Left {
    fn set(&self, tasks: std::ops::Range<usize>) {
        self.0.store((tasks.end as u64) << 32 | tasks.start as u64, Ordering::Relaxed);
    }

    /// Takes the first task, or the last.
    fn take(&self, first: bool) -> Option<usize> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            let (start, end) = (left & 0xffff_ffff, left >> 32);
            (start < end).then(|| if first { left + 1 } else { left - (1 << 32) })
        });
        taken.ok().map(|left| if first { left & 0xffff_ffff } else { (left >> 32) - 1 } as usize)
    }
}

/// What a leader shares with its helpers.
struct Team {
    /// Odd while a run is open; each opening and closing adds one.
    run: AtomicUsize,
    /// Written by the leader while no run is open and no helper inside; read by helpers inside an open run.
    work: UnsafeCell<Option<Work>>,
    /// For each thread, the leader first.
    left: Vec<Left>,
    /// Helpers that may be reading `work`.
    inside: AtomicUsize,
    /// Helpers that are hired and have not gone home.
    hired: AtomicUsize,
    /// Whether there will be no more work.
    over: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `work` is the only part that is not thread-safe by itself. The leader writes it only between runs, when `inside`
// is 0; a helper reads it only after it has counted itself `inside` and then seen a run open, and the leader does not leave
// an open run before `inside` is 0 again (both sides use sequentially consistent operations on `run` and `inside`, so
// that a helper which the leader did not count sees the run closed). What it points to outlives the run, and is `Sync`.
unsafe impl Sync for Team {}
// SAFETY: as above.
unsafe impl Send for Team {}

impl Team {
    fn new() -> Self {
        Self {
            run: AtomicUsize::new(0),
            work: UnsafeCell::new(None),
            left: (0..rayon::current_num_threads()).map(|_| Left(AtomicU64::new(0))).collect(),
            inside: AtomicUsize::new(0),
            hired: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    /// The leader's part: opens a run, takes tasks itself, and closes when all are done.
    fn run(self: &Arc<Self>, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes; the pointer is used inside the run alone, which ends before this function does.
        let task: *const (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        let work = Work(task);
        // SAFETY: no run is open and no helper inside, see `Sync`.
        unsafe { *self.work.get() = Some(work) };
        let cut = |part: usize| tasks * part / self.left.len();
        self.left.iter().enumerate().for_each(|(part, left)| left.set(cut(part)..cut(part + 1)));
        // A panic of the leader's own came before that of a helper's.
        self.take_panic();
        self.run.fetch_add(1, Ordering::SeqCst);
        {
            // Also when a task of the leader's panics.
            let _close = OnDrop(|| self.close());
            self.hire(tasks);
            self.take_tasks(work, 0);
        }
        if let Some(panic) = self.take_panic() {
            resume_unwind(panic);
        }
    }

    fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn close(&self) {
        self.run.fetch_add(1, Ordering::SeqCst);
        let mut looks = 0;
        while self.inside.load(Ordering::SeqCst) > 0 {
            looks += 1;
            if looks % LOOKS_BEFORE_YIELD == 0 { thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    /// Asks for as many helpers as there are threads and tasks.
    fn hire(self: &Arc<Self>, tasks: usize) {
        let wanted = (rayon::current_num_threads() - 1).min(tasks - 1);
        for _ in self.hired.load(Ordering::Relaxed)..wanted {
            let place = self.hired.fetch_add(1, Ordering::Relaxed) + 1;
            let team = self.clone();
            rayon::spawn(move || team.help(place));
        }
    }

    /// Does tasks until none is left, those of a thread's own place first.
    fn take_tasks(&self, Work(task): Work, place: usize) {
        // SAFETY: the run is open, see `Sync`.
        let task = unsafe { &*task };
        let (before, from) = self.left.split_at(place % self.left.len());
        for (distance, left) in from.iter().chain(before).enumerate() {
            while let Some(index) = left.take(distance == 0) {
                task(index);
            }
        }
    }

    /// A helper's part.
    fn help(&self, place: usize) {
        // A leader, this one or another, that waits inside a parallel call of its body has no time to look for work.
        if ROLE.with_borrow(|role| matches!(role, Role::Outside)) {
            ROLE.set(Role::Inside);
            let _back = OnDrop(|| ROLE.set(Role::Outside));
            self.look_for_work(place);
        }
        self.hired.fetch_sub(1, Ordering::Relaxed);
    }

    fn look_for_work(&self, place: usize) {
        let mut seen = 0;
        let mut since = Instant::now();
        loop {
            for _ in 0..LOOKS {
                let run = self.run.load(Ordering::Acquire);
                if run % 2 == 1 && run != seen {
                    seen = self.join_run(place);
                    since = Instant::now();
                }
                std::hint::spin_loop();
            }
            if self.over.load(Ordering::Acquire) || since.elapsed() > PATIENCE {
                return;
            }
        }
    }

    /// Takes part in the open run, if there still is one; returns its number.
    fn join_run(&self, place: usize) -> usize {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let run = self.run.load(Ordering::SeqCst);
        if run % 2 == 1 {
            // SAFETY: inside an open run, see `Sync`.
            let work = unsafe { *self.work.get() };
            let outcome =
                catch_unwind(AssertUnwindSafe(|| work.into_iter().for_each(|work| self.take_tasks(work, place))));
            if let Err(panic) = outcome {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
        run
    }
}

/// Calls a function when dropped, also by a panic.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_threads<T: Send>(threads: usize, body: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(body)
    }

    /// Runs `tasks` tasks and says how often each was run.
    fn counts(tasks: usize, during: impl Fn(usize) + Sync) -> Vec<usize> {
        let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        let done = share(tasks, &|index| {
            during(index);
            counts[index].fetch_add(1, Ordering::Relaxed);
        });
        assert!(done, "there is a team");
        counts.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn every_task_of_every_run_is_done_once() {
        for threads in 2..=4 {
            on_threads(threads, || {
                together(|| {
                    for run in 1..3000 {
                        let tasks = run % 7 + 1;
                        assert_eq!(counts(tasks, |_| ()), vec![1; tasks]);
                    }
                });
            });
        }
    }

    #[test]
    fn helpers_that_went_home_are_hired_again() {
        on_threads(2, || {
            together(|| {
                for _ in 0..3 {
                    let helped = AtomicBool::new(false);
                    let leader = thread::current().id();
                    // The leader holds its task until somebody has come for the other.
                    let start = Instant::now();
                    counts(2, |_| {
                        if thread::current().id() != leader {
                            helped.store(true, Ordering::Release);
                        }
                        while !helped.load(Ordering::Acquire) && start.elapsed() < Duration::from_secs(60) {
                            thread::yield_now();
                        }
                    });
                    assert!(helped.into_inner());
                    thread::sleep(4 * PATIENCE);
                }
            });
        });
    }

    #[test]
    fn tasks_inside_tasks_and_parallel_iterators_work() {
        use rayon::prelude::*;
        on_threads(3, || {
            together(|| {
                let inner = AtomicUsize::new(0);
                counts(5, |_| {
                    counts(3, |_| {
                        inner.fetch_add(1, Ordering::Relaxed);
                    });
                });
                assert_eq!(inner.into_inner(), 15);
                assert_eq!((0..1000usize).into_par_iter().sum::<usize>(), 499_500);
                together(|| assert_eq!(counts(4, |_| ()), vec![1; 4]));
            });
            assert!(!share(1, &|_| ()), "the team is gone");
        });
    }

    #[test]
    fn a_panic_comes_out_at_the_leader_and_the_team_goes_on() {
        on_threads(2, || {
            together(|| {
                for guilty in 0..5 {
                    let task = |index: usize| assert!(index != guilty && guilty < 4, "as planned");
                    let outcome = catch_unwind(AssertUnwindSafe(|| counts(4, task)));
                    assert!(outcome.is_err());
                    assert_eq!(counts(6, |_| ()), vec![1; 6]);
                }
            });
        });
    }
}
