//! Functions of numbers out of the mathematical library.

use super::math::number_of;
use super::{Native, native};
use crate::value::Val;

/// A function of one number.
macro_rules! one {
    ($name:literal, $function:expr) => {
        native($name, 0, |value, _| {
            let function: fn(f64) -> f64 = $function;
            Ok(Val::Float(function(number_of(&value)?)))
        })
    };
}

/// A function of two numbers.
macro_rules! two {
    ($name:literal, $function:expr) => {
        native($name, 2, |_, arguments| {
            let function: fn(f64, f64) -> f64 = $function;
            Ok(Val::Float(function(number_of(&arguments[0])?, number_of(&arguments[1])?)))
        })
    };
}

pub(super) const NATIVES: &[Native] = &[
    one!("floor", f64::floor),
    one!("ceil", f64::ceil),
    one!("round", f64::round),
    one!("trunc", f64::trunc),
    one!("nearbyint", f64::round_ties_even),
    one!("rint", f64::round_ties_even),
    one!("fabs", f64::abs),
    one!("sqrt", f64::sqrt),
    one!("cbrt", f64::cbrt),
    one!("sin", f64::sin),
    one!("cos", f64::cos),
    one!("tan", f64::tan),
    one!("asin", f64::asin),
    one!("acos", f64::acos),
    one!("atan", f64::atan),
    one!("sinh", f64::sinh),
    one!("cosh", f64::cosh),
    one!("tanh", f64::tanh),
    one!("asinh", f64::asinh),
    one!("acosh", f64::acosh),
    one!("atanh", f64::atanh),
    one!("exp", f64::exp),
    one!("exp2", f64::exp2),
    one!("exp10", exp10),
    one!("pow10", exp10),
    one!("expm1", f64::exp_m1),
    one!("log", f64::ln),
    one!("log2", f64::log2),
    one!("log10", f64::log10),
    one!("log1p", f64::ln_1p),
    one!("logb", |number| if number == 0.0 {
        f64::NEG_INFINITY
    } else if number.is_finite() {
        f64::from(libm::ilogb(number))
    } else {
        number.abs()
    }),
    one!("gamma", libm::lgamma),
    one!("lgamma", libm::lgamma),
    one!("tgamma", libm::tgamma),
    one!("lgamma_r", libm::lgamma),
    one!("j0", libm::j0),
    one!("j1", libm::j1),
    one!("y0", libm::y0),
    one!("y1", libm::y1),
    one!("erf", libm::erf),
    one!("erfc", libm::erfc),
    one!("significand", |number| if number == 0.0 || !number.is_finite() {
        number
    } else {
        libm::frexp(number).0 * 2.0
    }),
    two!("pow", f64::powf),
    two!("atan2", f64::atan2),
    two!("fmod", |left, right| left % right),
    two!("fmin", f64::min),
    two!("fmax", f64::max),
    two!("fdim", libm::fdim),
    two!("hypot", f64::hypot),
    two!("copysign", f64::copysign),
    two!("drem", libm::remainder),
    two!("remainder", libm::remainder),
    two!("nextafter", libm::nextafter),
    two!("nexttoward", libm::nextafter),
    two!("ldexp", |number, exponent| libm::ldexp(number, whole(exponent))),
    two!("scalb", |number, exponent| libm::ldexp(number, whole(exponent))),
    two!("scalbln", |number, exponent| libm::ldexp(number, whole(exponent))),
    two!("jn", |order, number| libm::jn(whole(order), number)),
    two!("yn", |order, number| libm::yn(whole(order), number)),
    native("fma", 3, |_, arguments| {
        let number = |place: usize| number_of(&arguments[place]);
        Ok(Val::Float(number(0)?.mul_add(number(1)?, number(2)?)))
    }),
    native("frexp", 0, |value, _| {
        let number = number_of(&value)?;
        let (mantissa, exponent) = if number.is_finite() { libm::frexp(number) } else { (number, 0) };
        Ok(pair(mantissa, f64::from(exponent)))
    }),
    native("modf", 0, |value, _| {
        let number = number_of(&value)?;
        let fraction = if number.is_infinite() { 0.0_f64.copysign(number) } else { number.fract() };
        Ok(pair(fraction, number.trunc()))
    }),
    native("abs", 0, |value, _| match &value {
        Val::Float(number) if *number < 0.0 => Ok(Val::Float(-number)),
        Val::Digits(digits) if digits.starts_with('-') && number_of(&value)? < 0.0 => {
            super::math::negate(value)
        }
        // Values after the numbers in the order of values are not below 0.
        Val::Null | Val::Bool(_) => super::math::negate(value),
        _ => Ok(value),
    }),
    native("infinite", 0, |_, _| Ok(Val::Float(f64::INFINITY))),
    native("nan", 0, |_, _| Ok(Val::Float(f64::NAN))),
    native("isinfinite", 0, |value, _| Ok(Val::Bool(value.as_number().is_some_and(f64::is_infinite)))),
    native("isnan", 0, |value, _| Ok(Val::Bool(value.as_number().is_some_and(f64::is_nan)))),
    native("isnormal", 0, |value, _| Ok(Val::Bool(value.as_number().is_some_and(f64::is_normal)))),
];

/// Ten to a power, to the last digit, as current C libraries give it.
fn exp10(exponent: f64) -> f64 {
    10_f64.powf(exponent)
}

fn pair(left: f64, right: f64) -> Val {
    Val::from(vec![Val::Float(left), Val::Float(right)])
}

/// A number without its fraction, within the range of a small one.
fn whole(number: f64) -> i32 {
    number as i32
}
