#ifndef AZDLQ_RESULT_H
#define AZDLQ_RESULT_H

/* What a kernel answers. Outputs are written only with AZDLQ_OK, unless a header says otherwise. */
typedef enum azdlq_result {
    AZDLQ_OK = 0,
    AZDLQ_INVALID = 1,         /* an argument is outside its documented bounds */
    AZDLQ_NOT_A_TIMESTAMP = 2, /* the text is none of the accepted forms */
    AZDLQ_OUT_OF_RANGE = 3     /* the result has no representation */
} azdlq_result;

#endif
