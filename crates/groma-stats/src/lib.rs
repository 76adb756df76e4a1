//! Statistics: pure functions; those that draw are given their random numbers.
//!
//! Every metric is a function of sums over items (a mean is `sum / count`, bits per byte is `sum of bits / sum of bytes`,
//! kappa a function of the counts of a table; an area under a ROC curve is the mean of items' parts in it, which a
//! [`Formula`] finds first). So the resampling methods take rows of numbers, add them up and call a function of the sums; clusters
//! are added up first and then are the rows. A [`Statistic`] is such a function with the way in which its uncertainty is found:
//! [`Statistic::estimate`] for one subject, [`Statistic::compare`] for two.

mod across;
mod agreement;
mod auroc;
mod best_of;
mod bootstrap;
mod cluster;
mod compare;
mod detection;
mod estimate;
mod formula;
pub mod formulas;
mod holm;
mod interval;
mod mean;
mod paired;
mod proportion;
mod reader_error;
mod sample;
mod share_difference;
mod special;
mod unpaired;

pub use across::{ACROSS, DIFFERENCE, MEAN_OF_GROUPS, OF_MEAN_SCORES, RANGE};
pub use agreement::{Agreement, ConfusionTable};
pub use auroc::{auroc, auroc_interval};
pub use best_of::best_of;
pub use bootstrap::{Bootstrap, below, jackknife};
pub use cluster::{clustered_interval, clustered_standard_error, sum_by_cluster};
pub use compare::Difference;
pub use detection::{detection_interval, detection_rate};
pub use estimate::{Estimate, LEVEL, RESAMPLES, Resampling};
pub use formula::{Across, Formula, Place, Statistic, Sums, Uncertainty};
pub use formulas::FORMULAS;
pub use holm::holm;
pub use interval::{Interval, Method};
pub use mean::{Mean, mean_interval};
pub use paired::{BinaryPairs, minimum_detectable_effect, paired_t_test, sign_flip_test};
pub use proportion::{clopper_pearson, jeffreys, wilson};
pub use reader_error::{ReaderError, pooled_share};
pub use sample::Observation;
pub use special::{normal_cdf, normal_quantile, student_t_cdf, student_t_quantile};
pub use unpaired::newcombe;
