"""Short lists of everyday words for synthetic speech, in six languages.

Numbers from zero to ten, things, colours, directions, yes and no; the lists
are in the same order. All are in Unicode's NFC.
"""

WORDS = {
  'en': (
    'zero one two three four five six seven eight nine ten '
    'water house book door tree red green blue black white '
    'sun moon star fish bird milk bread hand heart yes no left right'
  ),
  'ur': (
    'صفر ایک دو تین چار پانچ چھ سات آٹھ نو دس '
    'پانی گھر کتاب دروازہ درخت سرخ سبز نیلا سیاہ سفید '
    'سورج چاند ستارہ مچھلی پرندہ دودھ روٹی ہاتھ دل ہاں نہیں بائیں دائیں'
  ),
  'pa': (
    'ਸਿਫ਼ਰ ਇੱਕ ਦੋ ਤਿੰਨ ਚਾਰ ਪੰਜ ਛੇ ਸੱਤ ਅੱਠ ਨੌਂ ਦਸ '
    'ਪਾਣੀ ਘਰ ਕਿਤਾਬ ਦਰਵਾਜ਼ਾ ਰੁੱਖ ਲਾਲ ਹਰਾ ਨੀਲਾ ਕਾਲਾ ਚਿੱਟਾ '
    'ਸੂਰਜ ਚੰਦ ਤਾਰਾ ਮੱਛੀ ਪੰਛੀ ਦੁੱਧ ਰੋਟੀ ਹੱਥ ਦਿਲ ਹਾਂ ਨਹੀਂ ਖੱਬੇ ਸੱਜੇ'
  ),
  'sd': (
    'ٻڙي هڪ ٻه ٽي چار پنج ڇهه ست اٺ نو ڏهه '
    'پاڻي گهر ڪتاب دروازو وڻ ڳاڙهو سائو نيرو ڪارو اڇو '
    'سج چنڊ تارو مڇي پکي کير ماني هٿ دل ها نه کاٻي ساڄي'
  ),
  'hi': (
    'शून्य एक दो तीन चार पाँच छह सात आठ नौ दस '
    'पानी घर किताब दरवाज़ा पेड़ लाल हरा नीला काला सफ़ेद '
    'सूरज चाँद तारा मछली चिड़िया दूध रोटी हाथ दिल हाँ नहीं बाएँ दाएँ'
  ),
  'fa': (
    'صفر یک دو سه چهار پنج شش هفت هشت نه ده '
    'آب خانه کتاب در درخت قرمز سبز آبی سیاه سفید '
    'خورشید ماه ستاره ماهی پرنده شیر نان دست دل بله خیر چپ راست'
  ),
}
WORDS = {language: tuple(text.split()) for language, text in WORDS.items()}


def alphabet(*languages: str) -> str:
  """Every character of the languages' words, sorted, the blank first."""
  words = ''.join(''.join(WORDS[language]) for language in languages)
  return ' ' + ''.join(sorted(set(words)))
