# For GCC and Clang. What a program loads that was built without them must be started with their
# libraries preloaded: see `sanitizers` in noxfile.py.
option(AZOTH_DLQ_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)

if(AZOTH_DLQ_SANITIZE)
  set(AZOTH_DLQ_SANITIZERS -fsanitize=address,undefined -fno-sanitize-recover=all)
  add_compile_options(${AZOTH_DLQ_SANITIZERS} -fno-omit-frame-pointer -g -O1)
  add_link_options(${AZOTH_DLQ_SANITIZERS})
endif()
