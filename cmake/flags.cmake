# One interface target with what every file of ours is compiled with.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
add_library(sf_flags INTERFACE)
target_compile_features(sf_flags INTERFACE c_std_11)
target_compile_definitions(sf_flags INTERFACE _GNU_SOURCE SEGFLEET_VERSION="${PROJECT_VERSION}")
target_compile_options(sf_flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wno-unknown-pragmas
  -ffp-contract=off -fno-math-errno
  $<$<CONFIG:Release>:-O3>)
if(SEGFLEET_WERROR)
  target_compile_options(sf_flags INTERFACE -Werror)
endif()
if(SEGFLEET_SANITIZE)
  target_compile_options(sf_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(sf_flags INTERFACE -fsanitize=address,undefined)
endif()
# Includes name the layer: "base/error.h", "kernels/conv.h", "mpi/comm.h".
target_include_directories(sf_flags INTERFACE "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}")

# sf_add_layer(NAME SOURCES ... [PUBLIC targets] [PRIVATE targets])
function(sf_add_layer name)
  cmake_parse_arguments(A "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC sf_flags ${A_PUBLIC} PRIVATE ${A_PRIVATE})
endfunction()
