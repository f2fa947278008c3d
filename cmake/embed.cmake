# Embeds text files into a C file of the build folder:
# sf_embed_files(OUTPUT x.c SYMBOL sf_embedded ROOT dir FILES dir/a/b.json ...) defines
#   const sf_embedded_file SYMBOL[] = { { "a/b", "text..." }, ..., { 0, 0 } };
# Names are relative to ROOT, without extension. Text goes in as byte lists, so that no quoting rule matters.
function(sf_embed_files)
  cmake_parse_arguments(A "" "OUTPUT;SYMBOL;HEADER;ROOT" "FILES" ${ARGN})
  set(arrays "")
  set(table "")
  set(i 0)
  foreach(file IN LISTS A_FILES)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "((0x..,){20})" "\\1\n    " bytes "${bytes}")
    file(RELATIVE_PATH name "${A_ROOT}" "${file}")
    string(REGEX REPLACE "\\.[^.]*$" "" name "${name}")
    string(APPEND arrays "static const char text_${i}[] = {\n    ${bytes}0 };\n")
    string(APPEND table "    { \"${name}\", text_${i} },\n")
    math(EXPR i "${i} + 1")
  endforeach()
  file(CONFIGURE OUTPUT "${A_OUTPUT}" CONTENT "/* Made by CMake; do not edit. */
#include \"${A_HEADER}\"
${arrays}
const sf_embedded_file ${A_SYMBOL}[] = {
${table}    { 0, 0 }
};
" @ONLY)
endfunction()
