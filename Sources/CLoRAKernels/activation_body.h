// Kernels on branch activations, compiled for f32 and for bf16.
// The including file defines ACT (the stored type), LD/ST (to and from float) and NAME(x).

// y = x·rstd·w with rstd = 1/√(mean(x²) + eps); x is the residual stream (f32). `unit` and rstd, which
// may be NULL, receive x·rstd and rstd. [rows, n]
static void NAME(rms_norm)(
    const float *restrict x, const float *restrict w, float eps, ACT *restrict y,
    ACT *restrict unit, float *rstd, size_t rows, size_t n) {
  for (size_t i = 0; i < rows; ++i, x += n, y += n) {
    float sum = 0;
    {
#pragma clang fp reassociate(on) contract(fast)
      for (size_t j = 0; j < n; ++j) sum += x[j] * x[j];
    }
    float scale = 1.0f / sqrtf(sum / (float)n + eps);
    for (size_t j = 0; j < n; ++j) y[j] = ST(x[j] * scale * w[j]);
    if (unit) {
      for (size_t j = 0; j < n; ++j) unit[j] = ST(x[j] * scale);
      unit += n;
    }
    if (rstd) rstd[i] = scale;
  }
}

// dx += rstd·(w·dy - x̂·mean(w·dy·x̂)); dw[j] += Σ_i dy·x̂ if dw is given.
static void NAME(rms_norm_backward)(
    const ACT *unit, const float *w, const float *rstd, const float *dy, float *dx, float *dw,
    size_t rows, size_t n) {
  for (size_t i = 0; i < rows; ++i, unit += n, dy += n) {
    float mean = 0;
    {
#pragma clang fp reassociate(on) contract(fast)
      for (size_t j = 0; j < n; ++j) mean += w[j] * dy[j] * LD(unit[j]);
    }
    mean /= (float)n;
    if (dx) {
      for (size_t j = 0; j < n; ++j) dx[j] += rstd[i] * (w[j] * dy[j] - LD(unit[j]) * mean);
      dx += n;
    }
    if (dw) {
      for (size_t j = 0; j < n; ++j) dw[j] += dy[j] * LD(unit[j]);
    }
  }
}

// h = act(gate)·up
static void NAME(gated)(int kind, const ACT *gate, const ACT *up, ACT *h, size_t n) {
  if (kind == LK_SILU) {
    for (size_t i = 0; i < n; ++i) {
      float g = LD(gate[i]);
      h[i] = ST(g * fast_sigmoid(g) * LD(up[i]));
    }
  } else {
    for (size_t i = 0; i < n; ++i) {
      float g = LD(gate[i]);
      float inner = 0.7978845608f * (g + 0.044715f * g * g * g);
      h[i] = ST(0.5f * g * (1.0f + fast_tanh(inner)) * LD(up[i]));
    }
  }
}

// dgate = dh·up·act'(gate), dup = dh·act(gate); both may overwrite gate and up.
static void NAME(gated_backward)(
    int kind, const ACT *gate, const ACT *up, const ACT *dh, ACT *dgate, ACT *dup, size_t n) {
  if (kind == LK_SILU) {
    for (size_t i = 0; i < n; ++i) {
      float g = LD(gate[i]), u = LD(up[i]), d = LD(dh[i]);
      float s = fast_sigmoid(g);
      dgate[i] = ST(d * u * s * (1.0f + g * (1.0f - s)));
      dup[i] = ST(d * g * s);
    }
  } else {
    for (size_t i = 0; i < n; ++i) {
      float g = LD(gate[i]), u = LD(up[i]), d = LD(dh[i]);
      float t = fast_tanh(0.7978845608f * (g + 0.044715f * g * g * g));
      float slope = 0.7978845608f * (1.0f + 3.0f * 0.044715f * g * g);
      dgate[i] = ST(d * u * (0.5f * (1.0f + t) + 0.5f * g * (1.0f - t * t) * slope));
      dup[i] = ST(d * 0.5f * g * (1.0f + t));
    }
  }
}

// Rotates each head's pairs (i, i + d/2) by the angle of its row (Su et al., RoFormer; the "rotate
// half" order of Hugging Face). cosine and sine: [positions, d/2]; sign -1 is the inverse, which is
// also the gradient. x: [rows, heads, d] with `stride` elements between rows, in place.
static void NAME(rope)(
    ACT *x, size_t stride, const int32_t *positions, const float *cosine, const float *sine,
    float sign, size_t rows, size_t heads, size_t d) {
  size_t half = d / 2;
  for (size_t t = 0; t < rows; ++t) {
    const float *c = cosine + (size_t)positions[t] * half;
    const float *s = sine + (size_t)positions[t] * half;
    for (size_t h = 0; h < heads; ++h) {
      ACT *low = x + t * stride + h * d, *high = low + half;
      for (size_t i = 0; i < half; ++i) {
        float a = LD(low[i]), b = LD(high[i]), si = sign * s[i];
        low[i] = ST(a * c[i] - b * si);
        high[i] = ST(b * c[i] + a * si);
      }
    }
  }
}

// y[i, j] += bias[j]
static void NAME(add_bias)(ACT *y, const float *bias, size_t rows, size_t n) {
  for (size_t i = 0; i < rows; ++i, y += n) {
    for (size_t j = 0; j < n; ++j) y[j] = ST(LD(y[j]) + bias[j]);
  }
}

// sums[j] += Σ_i x[i, j] for the columns [begin, end) of rows of n
static void NAME(column_sums)(
    const ACT *x, float *sums, size_t rows, size_t n, size_t begin, size_t end) {
  for (size_t i = 0; i < rows; ++i, x += n) {
    for (size_t j = begin; j < end; ++j) sums[j] += LD(x[j]);
  }
}

// y = f∘x: each column by its factor; y may be x.
static void NAME(scale_columns)(
    const ACT *x, const float *factors, ACT *y, size_t rows, size_t n) {
  for (size_t i = 0; i < rows; ++i, x += n, y += n) {
    for (size_t j = 0; j < n; ++j) y[j] = ST(factors[j] * LD(x[j]));
  }
}

// y += f∘x into f32
static void NAME(add_scaled_columns)(
    const ACT *x, const float *factors, float *y, size_t rows, size_t n) {
  for (size_t i = 0; i < rows; ++i, x += n, y += n) {
    for (size_t j = 0; j < n; ++j) y[j] += factors[j] * LD(x[j]);
  }
}

// sums[j] += Σ_i x[i, j]·y[i, j] for the columns [begin, end) of rows of n
static void NAME(column_dots)(
    const ACT *x, const ACT *y, float *sums, size_t rows, size_t n, size_t begin, size_t end) {
  for (size_t i = 0; i < rows; ++i, x += n, y += n) {
    for (size_t j = begin; j < end; ++j) sums[j] += LD(x[j]) * LD(y[j]);
  }
}

// y = x·mask/(1-p) on rows [begin, end) of n; the mask of (row, column) is the Philox number at
// counter (column/4, key of the row, stream): independent of how rows are packed into passes.
static void NAME(dropout)(
    const ACT *x, ACT *y, float p, uint64_t seed, uint32_t stream, const uint64_t *row_keys,
    size_t begin, size_t end, size_t n) {
  const float scale = 1.0f / (1.0f - p);
  const uint32_t threshold = (uint32_t)((double)p * 4294967296.0);
  for (size_t i = begin; i < end; ++i) {
    const uint64_t row = row_keys ? row_keys[i] : i;
    for (size_t j = 0; j < n; j += DRAWN) {
      const eight none = {0};
      eight counters[4] = {counting + j / 4, none + row, none + (row >> 32), none + stream};
      uint32_t drawn[DRAWN];
      philox(counters, (uint32_t)seed, (uint32_t)(seed >> 32), drawn);
      const size_t count = n - j < DRAWN ? n - j : DRAWN;
      const ACT *from = x + i * n + j;
      ACT *to = y + i * n + j;
      for (size_t k = 0; k < count; ++k) {
        const float kept = LD(from[k]) * scale;
        to[k] = ST(drawn[k] < threshold ? 0.0f : kept);
      }
    }
  }
}

// Loss and gradient of one row of logits: returns log p(target) and writes
// d[j] = weight·(p_j - [j = target]), the gradient of -weight·log p(target). d may be NULL, or
// the logits themselves.
static float NAME(cross_entropy_row)(
    const float *logits, int32_t target, float weight, ACT *d, size_t n) {
  float max = row_max(logits, n), sum = 0;
  {
#pragma clang fp reassociate(on) contract(fast)
    for (size_t j = 0; j < n; ++j) sum += fast_exp(logits[j] - max);
  }
  float lse = max + logf(sum);
  float log_probability = logits[target] - lse;
  if (d) {
    for (size_t j = 0; j < n; ++j) d[j] = ST(weight * fast_exp(logits[j] - lse));
    // The target's share is p - 1, formed from the f32 value and rounded once.
    d[target] = ST(weight * (expf(log_probability) - 1.0f));
  }
  return log_probability;
}

// One row of a part of the logits: d = weight·(e^{x - lse} - [j = target]); the target may lie outside.
static void NAME(logit_gradient_row)(
    const float *restrict logits, int32_t target, float lse, float weight, ACT *restrict d, size_t n) {
  for (size_t j = 0; j < n; ++j) d[j] = ST(weight * fast_exp(logits[j] - lse));
  // The target's share is p - 1, formed from the f32 value and rounded once.
  if (target >= 0 && (size_t)target < n) {
    d[target] = ST(weight * (expf(logits[target] - lse) - 1.0f));
  }
}

// Attention weights of one query row, in place and as ACT: p = e^{scale·s - lse} on the `visible`
// first columns, 0 on the rest up to n; s is used up. Returns lse = log Σ e^{scale·s}.
static float NAME(softmax_row)(float *s, ACT *p, float scale, size_t visible, size_t n) {
  float max = visible > 0 ? row_max(s, visible) * scale : -INFINITY, sum = 0;
  {
#pragma clang fp reassociate(on) contract(fast)
    for (size_t j = 0; j < visible; ++j) {
      s[j] = fast_exp(s[j] * scale - max);
      sum += s[j];
    }
  }
  float lse = max + logf(sum), share = 1.0f / sum;
  for (size_t j = 0; j < visible; ++j) p[j] = ST(s[j] * share);
  for (size_t j = visible; j < n; ++j) p[j] = ST(0.0f);
  return lse;
}

// Recomputes p from the kept lse and forms ds = p·(dp - delta)·scale; both 0 past `visible`.
static void NAME(softmax_row_backward)(
    const float *s, const float *dp, float lse, float delta, float scale, ACT *p, ACT *ds,
    size_t visible, size_t n) {
  for (size_t j = 0; j < visible; ++j) {
    float weight = fast_exp(s[j] * scale - lse);
    p[j] = ST(weight);
    ds[j] = ST(weight * (dp[j] - delta) * scale);
  }
  for (size_t j = visible; j < n; ++j) p[j] = ds[j] = ST(0.0f);
}

static float NAME(dot)(const ACT *a, const ACT *b, size_t n) {
#pragma clang fp reassociate(on) contract(fast)
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += LD(a[i]) * LD(b[i]);
  return sum;
}

// One new token of one head against its cache: keys and values are [length, *] rows `stride` apart.
// Written so that every loop is one of vectors: sums apart from exponentials, four values at a time.
static inline __attribute__((always_inline)) void NAME(attend_rows)(
    const ACT *q, const ACT *keys, const ACT *values, size_t stride, size_t length, size_t d,
    float scale, float *weights, float *accumulator, ACT *out) {
#pragma clang fp reassociate(on) contract(fast)
  for (size_t j = 0; j < length; ++j) {
    const ACT *key = keys + j * stride;
    float dot = 0;
    for (size_t i = 0; i < d; ++i) dot += LD(q[i]) * LD(key[i]);
    weights[j] = dot * scale;
  }
  float max = weights[0], sum = 0;
  for (size_t j = 1; j < length; ++j) max = weights[j] > max ? weights[j] : max;
  for (size_t j = 0; j < length; ++j) weights[j] = fast_exp(weights[j] - max);
  for (size_t j = 0; j < length; ++j) sum += weights[j];
  for (size_t i = 0; i < d; ++i) accumulator[i] = 0;
  size_t j = 0;
  for (; j + 4 <= length; j += 4) {
    const ACT *v = values + j * stride;
    const float a = weights[j], b = weights[j + 1], c = weights[j + 2], e = weights[j + 3];
    for (size_t i = 0; i < d; ++i) {
      accumulator[i] += a * LD(v[i]) + b * LD(v[stride + i]) + c * LD(v[2 * stride + i]) +
                        e * LD(v[3 * stride + i]);
    }
  }
  for (; j < length; ++j) {
    const ACT *v = values + j * stride;
    for (size_t i = 0; i < d; ++i) accumulator[i] += weights[j] * LD(v[i]);
  }
  for (size_t i = 0; i < d; ++i) out[i] = ST(accumulator[i] / sum);
}

static void NAME(attend_one)(
    const ACT *q, const ACT *keys, const ACT *values, size_t stride, size_t length, size_t d,
    float scale, float *weights, float *accumulator, ACT *out) {
  // The usual widths as constants: their loops are unrolled.
  if (d == 64) {
    NAME(attend_rows)(
        q, keys, values, stride, length, 64, scale, weights, accumulator, out);
  } else if (d == 128) {
    NAME(attend_rows)(
        q, keys, values, stride, length, 128, scale, weights, accumulator, out);
  } else {
    NAME(attend_rows)(q, keys, values, stride, length, d, scale, weights, accumulator, out);
  }
}
