"""Losses as write-ups teach them, in TensorFlow and Keras."""

import keras
import tensorflow as tf


class Huber(keras.losses.Loss):
    def __init__(self, delta=1.0, reduction="sum_over_batch_size"):
        super().__init__(reduction=reduction, dtype="float64")
        self.delta = delta

    def call(self, y_true, y_pred):
        d = tf.abs(y_pred - y_true)
        q = tf.minimum(d, tf.cast(self.delta, d.dtype))
        return tf.reduce_mean(q * (d - 0.5 * q), axis=-1)


def half_mse(y_true, y_pred):
    return 0.5 * tf.reduce_mean((y_pred - y_true) ** 2)


def softmax_without_shift(target, logits):
    e = tf.exp(logits)
    p = e / tf.reduce_sum(e, 1, keepdims=True)
    hot = tf.one_hot(target, tf.shape(logits)[1], axis=1, dtype=logits.dtype)
    return -tf.reduce_mean(tf.math.log(tf.reduce_sum(p * hot, 1)))


def log_of_sigmoid(y_true, logits):
    p = tf.sigmoid(logits)
    return -tf.reduce_mean(y_true * tf.math.log(p) + (1 - y_true) * tf.math.log(1 - p))


def bce_clipped(y_true, y_pred):
    p = tf.clip_by_value(y_pred, 1e-7, 1 - 1e-7)
    return -tf.reduce_mean(y_true * tf.math.log(p) + (1 - y_true) * tf.math.log(1 - p))


def focal_alpha_on_negatives(y_true, logits, alpha=0.25, gamma=2.0):
    ce = tf.nn.softplus(-logits) * y_true + tf.nn.softplus(logits) * (1 - y_true)
    rest = tf.sigmoid(-logits) * y_true + tf.sigmoid(logits) * (1 - y_true)
    return ((1 - alpha) * y_true + alpha * (1 - y_true)) * rest**gamma * ce


def smoothing_over_others(target, logits, smoothing=0.1):
    classes = tf.shape(logits)[1]
    hot = tf.one_hot(target, classes, axis=1, dtype=logits.dtype)
    share = tf.cast(smoothing, logits.dtype) / tf.cast(tf.maximum(classes - 1, 1), logits.dtype)
    smooth = hot * (1 - smoothing) + (1 - hot) * share
    return -tf.reduce_mean(tf.reduce_sum(smooth * tf.nn.log_softmax(logits, 1), 1))


def kl_exchanged(target, input):
    return tf.reduce_mean(tf.exp(input) * (input - tf.math.log(target)))
