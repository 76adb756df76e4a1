//! Statistics: pure functions, seeded where they draw.
//!
//! Every metric of this crate is a smooth function of sums over items (a mean is `sum / count`, bits per byte is
//! `sum of bits / sum of bytes`, kappa a function of the counts of a table). So the resampling methods take rows of
//! numbers, add them up and call a function of the sums; clusters are added up first and then are the rows.

mod agreement;
mod bootstrap;
mod cluster;
mod holm;
mod interval;
mod mean;
mod paired;
mod proportion;
mod special;

pub use agreement::{Agreement, ConfusionTable};
pub use bootstrap::{Bootstrap, jackknife};
pub(crate) use bootstrap::{below, sums};
pub use cluster::{clustered_interval, clustered_standard_error, sum_by_cluster};
pub use holm::holm;
pub use interval::{Interval, Method};
pub use mean::{Mean, mean_interval};
pub use paired::{BinaryPairs, minimum_detectable_effect, paired_t_test, sign_flip_test};
pub use proportion::{clopper_pearson, jeffreys, wilson};
pub use special::{normal_cdf, normal_quantile, student_t_cdf, student_t_quantile};
