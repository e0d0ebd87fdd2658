// LAPACK has no header of its own: these are the few Fortran routines that are called. Every argument
// goes by address, matrices are column-major, and character arguments carry their length at the end.
// Any LAPACK will do: the reference, OpenBLAS, or whatever liblapack.so stands for.
#include <stddef.h>

// Singular values and vectors by divide and conquer.
void dgesdd_(
    const char *job, const int *m, const int *n, double *a, const int *lda, double *s, double *u,
    const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info,
    size_t job_length);

// Some eigenvalues and eigenvectors of a symmetric matrix.
void dsyevr_(
    const char *job, const char *range, const char *uplo, const int *n, double *a, const int *lda,
    const double *vl, const double *vu, const int *il, const int *iu, const double *abstol, int *m,
    double *w, double *z, const int *ldz, int *isuppz, double *work, const int *lwork, int *iwork,
    const int *liwork, int *info, size_t job_length, size_t range_length, size_t uplo_length);

// QR factorisation by Householder reflections, and its Q.
void dgeqrf_(
    const int *m, const int *n, double *a, const int *lda, double *tau, double *work,
    const int *lwork, int *info);
void dorgqr_(
    const int *m, const int *n, const int *k, double *a, const int *lda, const double *tau,
    double *work, const int *lwork, int *info);

// C = alpha·A·Aᵀ + beta·C of a symmetric C, one triangle.
void dsyrk_(
    const char *uplo, const char *trans, const int *n, const int *k, const double *alpha,
    const double *a, const int *lda, const double *beta, double *c, const int *ldc,
    size_t uplo_length, size_t trans_length);
